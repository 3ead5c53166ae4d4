package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// walk visits every command with its full name.
func walk(commands []*cli.Command, prefix []string, visit func(path []string, c *cli.Command)) {
	for _, c := range commands {
		path := append(append([]string{}, prefix...), c.Name)
		visit(path, c)
		walk(c.Subcommands, path, visit)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	walk(app(Streams{}).Commands, nil, func(path []string, c *cli.Command) {
		name := strings.Join(path, " ")
		if c.Usage == "" || strings.HasSuffix(c.Usage, ".") || c.Usage != strings.TrimSpace(c.Usage) {
			t.Errorf("%s: usage %q: want one phrase without a full stop", name, c.Usage)
		}
		for _, f := range c.Flags {
			doc, ok := f.(cli.DocGenerationFlag)
			if !ok || doc.GetUsage() == "" {
				t.Errorf("%s: flag %v has no usage", name, f.Names())
			}
		}
		var out, errs bytes.Buffer
		args := append(append([]string{"pinfold"}, path...), "--help")
		if code := Run(context.Background(), args, Streams{Out: &out, Err: &errs}); code != 0 {
			t.Errorf("%s --help: exit code %d: %s", name, code, errs.String())
		}
		if !strings.Contains(out.String(), "EXIT CODES") {
			t.Errorf("%s --help does not list the exit codes:\n%s", name, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "(default: false)") || strings.Count(line, "(default:") > 1 {
				t.Errorf("%s --help: a switch that is off, or two defaults: %s", name, line)
			}
		}
	})
}

func TestMistakesAreExplained(t *testing.T) {
	for _, tc := range []struct {
		args string
		code int
		want []string
	}{
		{"bogus", 2, []string{`unknown command "bogus"`, "pinfold --help"}},
		{"stauts", 2, []string{`unknown command "stauts"`, "hint: pinfold status"}},
		{"pin ad", 2, []string{`unknown command "pin ad"`, "hint: pinfold pin add"}},
		{"pin add", 2, []string{"0 arguments given", "usage: pinfold pin add CID"}},
		{"pin add not-a-cid", 2, []string{`"not-a-cid"`, "not a CID"}},
		{"pin add bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi --replication 0", 2, []string{"--replication 0", "-1 for every member"}},
		{"pin add bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi --replication-min 3 --replication-max 2", 2, []string{"3..2"}},
		{"pin add --no-such-flag x", 2, []string{"no-such-flag", "pinfold pin add --help"}},
		{"--dir /nonexistent/pinfold status", 7, []string{"no pinfold runs on /nonexistent/pinfold", "pinfold up"}},
		{"add /nonexistent/file", 3, []string{"/nonexistent/file"}},
		{"add --cid-version 7 .", 2, []string{"--cid-version 7", "0 or 1"}},
		{"add .", 2, []string{"is a directory", "pinfold add -r ."}},
		{"--dir /nonexistent/pinfold join hello", 2, []string{"invite", "pinfold invite"}},
		{"--dir /nonexistent/pinfold join hello --give 5XB", 2, []string{`--give: size "5XB"`, "500GB"}},
		{"testnet --peers 0", 2, []string{"0 peers", "1 to 50"}},
		{"testnet bogus", 2, []string{`"bogus"`}},
		{"up --set give", 2, []string{"KEY=VALUE"}},
		{"--dir /nonexistent/pinfold up --set netwrok.mdns=false", 2, []string{`--set: unknown key "netwrok.mdns"`, "did you mean network.mdns?"}},
		{"--dir /nonexistent/pinfold up extra", 2, []string{"pinfold up extra", "takes no arguments"}},
		{"--dir /nonexistent/pinfold invite bob", 2, []string{"takes no arguments"}},
		{"explain", 2, []string{"usage: pinfold explain CID"}},
		{"explain hello", 2, []string{`"hello"`, "not a CID"}},
		{"plan leave:alice", 2, []string{"takes no arguments"}},
		{"state import /nonexistent/file", 3, []string{"/nonexistent/file"}},
		{"state import .", 2, []string{". is a directory"}},
		{"receipt verify /nonexistent/file", 2, []string{"/nonexistent/file"}},
		{"receipt verify .", 2, []string{". is a directory"}},
		{"--dir /nonexistent/pinfold balance", 7, []string{"pinfold up"}},
		{"mirror add", 2, []string{"0 arguments given", "usage: pinfold mirror add NAME"}},
		{"mirror add --all bob", 2, []string{"takes no arguments"}},
		{"mirror lst", 2, []string{`unknown command "mirror lst"`, "hint: pinfold mirror ls"}},
		{"pause tomorrow", 2, []string{`"tomorrow"`, "2h"}},
		{"give much", 2, []string{`"much"`}},
		{"give -5GB", 2, []string{`size "-5GB"`, "500GB"}},
		{"set", 2, []string{"nothing to set", "--region"}},
		{"policy set grace", 2, []string{"KEY=VALUE", "policy show"}},
		{"role bob", 2, []string{"1 argument given", "admin|writer"}},
		{"pni ls", 2, []string{`"pni"`, "hint: pinfold pin"}},
		{"pin add bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi --expire-in soon", 2, []string{`--expire-in "soon"`, "48h"}},
		{"testnet --peers x", 2, []string{`--peers "x"`, "a whole number"}},
		{"help bogus", 2, []string{"bogus", "pinfold --help"}},
	} {
		var out, errs bytes.Buffer
		code := Run(context.Background(), append([]string{"pinfold"}, strings.Fields(tc.args)...), Streams{Out: &out, Err: &errs})
		if code != tc.code {
			t.Errorf("%s: exit code %d, want %d: %s", tc.args, code, tc.code, errs.String())
		}
		for _, w := range tc.want {
			if !strings.Contains(errs.String(), w) {
				t.Errorf("%s: standard error lacks %q:\n%s", tc.args, w, errs.String())
			}
		}
	}
}
