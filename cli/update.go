package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
)

func pinUpdateCommand() *cli.Command {
	return command(&cli.Command{
		Name: "update", Usage: "keep another CID in place of one", ArgsUsage: "OLD NEW",
		Description: "NEW is kept as OLD was (name, copies, tags, …), but for what the flags say. OLD goes once as many members hold NEW as must;\n" +
			"who has OLD fetches only what NEW has beside it. When it ends earlier, both are kept, and it can be repeated.",
		Flags: append(pinFlags(), &cli.BoolFlag{Name: "keep", Usage: "keep OLD as well, and do not wait"},
			&cli.DurationFlag{Name: "wait-timeout", Value: time.Hour, Usage: "wait at most this `TIME`"}),
		Action: pinUpdate,
	})
}

func pinUpdate(c *cli.Context) error {
	args, err := arguments(c, 2, 2)
	if err != nil {
		return err
	}
	cids, err := parseCIDs(args)
	if err != nil {
		return err
	}
	p, err := pinWish(c)
	if err != nil {
		return err
	}
	p.CID = cids[1]
	api, err := connect(c)
	if err != nil {
		return err
	}
	u := client.Update{From: cids[0], Keep: c.Bool("keep")}
	done, receipt, err := api.Update(c.Context, u, p, client.Wait{Timeout: c.Duration("wait-timeout")})
	if err != nil {
		return err
	}
	switch {
	case c.Bool("json"):
		return printPin(c, dialect.PinReply{Pin: done, Receipt: receipt})
	case u.Keep:
		_, err = fmt.Fprintf(c.App.Writer, "accepted %s beside %s (see: pinfold status %s)\n", cids[1], cids[0], cids[1])
	default:
		_, err = fmt.Fprintf(c.App.Writer, "%s is kept in place of %s\n", cids[1], cids[0])
	}
	return err
}
