package cli

import (
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// statusDeficit lists what lacks copies.
func statusDeficit(c *cli.Context, api *client.Client, cids []cid.Cid) error {
	for _, other := range []string{"local", "all", "filter"} {
		if c.IsSet(other) {
			return pinset.Invalid("--deficit: not together with --%s", other)
		}
	}
	if len(cids) > 0 {
		return pinset.Invalid("--deficit: lists the pinset, and takes no CID").WithHint("pinfold status %s", cids[0])
	}
	short := 0
	for sum, err := range api.Deficit(c.Context) {
		if err != nil {
			return err
		}
		short++
		if err := printSummary(c, sum); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return nil
	}
	if short == 0 {
		_, err := fmt.Fprintln(c.App.Writer, "everything has its copies, as far as the members that are heard have said")
		return err
	}
	_, err := fmt.Fprintf(c.App.Writer, "%s with too few copies at members that are heard\n", counted(short, "CID"))
	return err
}
