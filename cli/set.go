package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func giveCommand() *cli.Command {
	return command(&cli.Command{
		Name: "give", Usage: "lend more disk, or less", ArgsUsage: "SIZE",
		Description: "As in `pinfold give 2TB`. What then belongs elsewhere goes from here once the others hold it.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
			if err != nil {
				return err
			}
			size, err := pinset.ParseSize(args[0])
			if err != nil {
				return err
			}
			return set(c, map[string]string{"give": args[0]}, "lends "+pinset.FormatSize(size))
		},
	})
}

func setCommand() *cli.Command {
	return command(&cli.Command{
		Name: "set", Usage: "change what this peer says of itself: name, place, tags, traffic",
		Description: "At once, in the running daemon, and in its configuration. An empty value takes it away: --region ''.\n" +
			"--tag replaces all tags; --tag '' takes them away.\n" +
			"Traffic is what the IPFS node fetches for the cluster; what does not fit waits, and the allocation gives this peer no more\n" +
			"than it can fetch in the policy's fill_days. What a Kubo serves to others is Kubo's. Outside of the hours of --schedule only\n" +
			"small new pins are fetched.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "this peer's `NAME`, as the others see it"},
			&cli.StringFlag{Name: "household", Usage: "`NAME` of the home it stands in: no two copies there when there is a choice"},
			&cli.StringFlag{Name: "region", Usage: "`NAME` of the region it stands in"},
			&cli.StringFlag{Name: "traffic-day", Usage: "most `BYTES` fetched in a day, as in 20GB; '' for no limit"},
			&cli.StringFlag{Name: "traffic-month", Usage: "most `BYTES` fetched in a month; '' for no limit"},
			&cli.StringFlag{Name: "schedule", Usage: "`HOURS` in which much is fetched, as in 22:00-07:00,12:00-13:30; '' for all day"},
			&cli.StringSliceFlag{Name: "tag", Aliases: []string{"tags"}, Usage: "`WORD` that pins may ask for; may be given several times"},
		},
		Action: func(c *cli.Context) error {
			changes := map[string]string{}
			for _, key := range []string{"name", "household", "region"} {
				if c.IsSet(key) {
					changes[key] = c.String(key)
				}
			}
			for name, key := range map[string]string{"traffic-day": "traffic.day", "traffic-month": "traffic.month"} {
				if c.IsSet(name) {
					changes[key] = cmp.Or(c.String(name), "0")
				}
			}
			if c.IsSet("schedule") {
				changes["traffic.schedule"] = c.String("schedule")
			}
			if c.IsSet("tag") {
				changes["tags"] = strings.Join(c.StringSlice("tag"), ",")
			}
			if len(changes) == 0 {
				return pinset.Invalid("set: nothing to set").WithHint("as in pinfold set --region fr --household attic --tag ssd; see pinfold set --help")
			}
			return set(c, changes, "set")
		},
	})
}

// set has the running daemon take settings, and prints what it warns of.
func set(c *cli.Context, changes map[string]string, done string) error {
	api, err := connect(c)
	if err != nil {
		return err
	}
	warnings, err := api.Set(c.Context, changes)
	if err != nil {
		return err
	}
	return tellChanged(c, warnings, done)
}

// tellChanged prints that a change was made, and what it warns of.
func tellChanged(c *cli.Context, warnings []string, done string) error {
	if c.Bool("json") {
		return printJSON(c, map[string]any{"done": true, "warnings": append([]string{}, warnings...)})
	}
	for _, w := range warnings {
		fmt.Fprintf(c.App.ErrWriter, "pinfold: warning: %s\n", w)
	}
	_, err := fmt.Fprintln(c.App.Writer, done)
	return err
}
