package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/cli/internal/words"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
)

// statusMerges tells what came together after splits.
func statusMerges(c *cli.Context, api *client.Client) error {
	merges, err := api.Merges(c.Context)
	if err != nil {
		return err
	}
	out := c.App.Writer
	if c.Bool("json") {
		for _, m := range merges {
			if err := printJSON(c, dialect.NewMerge(m)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(merges) == 0 {
		fmt.Fprintln(out, "nothing was merged here: members were never apart for long, and never changed one pin at the same time")
		return nil
	}
	words.Merges(out, merges, namesOf(c, api))
	return nil
}
