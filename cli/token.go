package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func tokenCommand() *cli.Command {
	return command(&cli.Command{
		Name: "token", Usage: "say who may do what at this peer's doors",
		Description: "A token opens the REST API and the IPFS-shaped door alike: pinfold --api HOST:9094 --token TOKEN …,\n" +
			"ipfs --api … --api-auth bearer:TOKEN …. It works at once, and ends at once when it is removed.",
		Subcommands: []*cli.Command{
			command(&cli.Command{
				Name: "add", Usage: "make a token", ArgsUsage: "NOTE",
				Description: "Prints its text, once: only a hash of it is kept. NOTE says who has it and what for, and stands in messages.\n" +
					"Scopes: read, pin (pin and unpin), add (bring data in), files (the IPFS node's files), gc, admin (everything).",
				Flags: []cli.Flag{
					&cli.StringSliceFlag{Name: "scope", Aliases: []string{"s"}, Usage: "what it allows, `SCOPE`; may be given several times"},
					&cli.StringFlag{Name: "owner", Usage: "it acts for the pins of `OWNER`, and sees no others"},
					&cli.StringFlag{Name: "prefix", Usage: "it touches only pins whose name begins with `TEXT`"},
					&cli.StringFlag{Name: "peer", Usage: "for the member `NAME`, by its key: for `pinfold bridge`; such a token has no text"},
					&cli.DurationFlag{Name: "expire-in", Usage: "it ends after this `TIME` (720h)", DefaultText: "never"},
					&cli.StringFlag{Name: "secret", Usage: "take `SECRET` for its text, as Kubo's API.Authorizations has it: bearer:TEXT, basic:USER:TEXT", EnvVars: []string{"PINFOLD_SECRET"}},
				},
				Action: tokenAdd,
			}),
			command(&cli.Command{Name: "ls", Usage: "list the tokens and what they allow", Action: tokenList}),
			command(&cli.Command{
				Name: "rm", Usage: "end tokens, at once", ArgsUsage: "ID [ID …]",
				Action: func(c *cli.Context) error {
					ids, err := arguments(c, 1, -1)
					if err != nil {
						return err
					}
					api, err := connect(c)
					if err != nil {
						return err
					}
					for _, id := range ids {
						if err := api.RevokeToken(c.Context, id); err != nil {
							return err
						}
						if err := say(c, map[string]string{"removed": id}, "removed "+id); err != nil {
							return err
						}
					}
					return nil
				},
			}),
		},
		Action: noSubcommand,
	})
}

// say prints v with --json, and text without.
func say(c *cli.Context, v any, text string) error {
	if c.Bool("json") {
		return printJSON(c, v)
	}
	_, err := fmt.Fprintln(c.App.Writer, text)
	return err
}

func tokenAdd(c *cli.Context) error {
	args, err := arguments(c, 1, 1)
	if err != nil {
		return err
	}
	t := dialect.Token{Note: args[0], Owner: c.String("owner"), NamePrefix: c.String("prefix")}
	for _, list := range c.StringSlice("scope") {
		for name := range strings.SplitSeq(list, ",") {
			if _, err := pinset.ParseScope(name); err != nil {
				return err
			}
			t.Scopes = append(t.Scopes, name)
		}
	}
	if len(t.Scopes) == 0 {
		return pinset.Invalid("token add: what may it do?").WithHint("as in pinfold token add %s --scope read --scope pin", args[0])
	}
	if d := c.Duration("expire-in"); c.IsSet("expire-in") {
		if d <= 0 {
			return pinset.Invalid("--expire-in %s: want a time ahead", d)
		}
		t.Expires = time.Now().Add(d).UTC().Truncate(time.Second)
	}
	if name := c.String("peer"); name != "" {
		ids, err := membersNamed(c, name)
		if err != nil {
			return err
		}
		if len(ids) != 1 {
			return pinset.Invalid("--peer %q: want one member", name)
		}
		t.Peer = ids[0].String()
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	made, err := api.AddToken(c.Context, t, c.String("secret"))
	if err != nil {
		return err
	}
	text := made.Text
	if text == "" {
		text = "made token " + made.ID
	}
	return say(c, made, text)
}

func tokenList(c *cli.Context) error {
	api, err := connect(c)
	if err != nil {
		return err
	}
	all, err := api.Tokens(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		for _, t := range all {
			if err := printJSON(c, t); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(c.App.Writer, "ID", "NOTE", "SCOPES", "OWNER", "PREFIX", "PEER", "MADE", "ENDS")
	for _, k := range all {
		ends := "never"
		if !k.Expires.IsZero() {
			ends = humanize.Time(k.Expires)
		}
		t.row(k.ID, k.Note, strings.Join(k.Scopes, " "), k.Owner, k.NamePrefix, k.Peer, ago(k.Created), ends)
	}
	return t.flush()
}
