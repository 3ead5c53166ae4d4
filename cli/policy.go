package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func policyCommand() *cli.Command {
	return command(&cli.Command{
		Name: "policy", Usage: "what the admins rule for everyone", Action: noSubcommand,
		Subcommands: []*cli.Command{
			command(&cli.Command{
				Name: "show", Usage: "print the policy in force",
				Action: func(c *cli.Context) error {
					api, err := connect(c)
					if err != nil {
						return err
					}
					rules, err := api.Policy(c.Context)
					if err != nil {
						return err
					}
					return printRules(c, rules)
				},
			}),
			command(&cli.Command{
				Name: "set", Usage: "change the policy, at once and for everyone", ArgsUsage: "KEY=VALUE [KEY=VALUE …]",
				Description: "As in `pinfold policy set replication=2..3 grace=48h`. From an admin's peer; all changes or none.",
				Action: func(c *cli.Context) error {
					args, err := arguments(c, 1, -1)
					if err != nil {
						return err
					}
					changes := map[string]string{}
					for _, kv := range args {
						key, value, ok := strings.Cut(kv, "=")
						if !ok {
							return pinset.Invalid("policy set %q: want KEY=VALUE", kv).WithHint("pinfold policy show lists the keys")
						}
						changes[key] = value
					}
					api, err := connect(c)
					if err != nil {
						return err
					}
					rules, err := api.SetPolicy(c.Context, changes)
					if err != nil {
						return err
					}
					return printRules(c, rules)
				},
			}),
		},
	})
}

func printRules(c *cli.Context, rules []pinset.Rule) error {
	if c.Bool("json") {
		return printJSON(c, rules)
	}
	t := newTable(c.App.Writer, "KEY", "VALUE", "MEANING")
	for _, r := range rules {
		t.row(r.Key, r.Value, r.Doc)
	}
	return t.flush()
}
