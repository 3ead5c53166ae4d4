package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/cli/internal/typed"
	"github.com/pinfold/pinfold/pinset"
)

// Version is this program's version, as `version`, the API and heartbeats say it.
const Version = "0.1.0-dev"

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the program with the process's arguments and streams, ends it on
// interrupt and termination in good order, and returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, os.Args, Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

// Run runs one command line and returns its exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	a := app(s)
	err := a.RunContext(ctx, typed.Order(a, args))
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(s.Err, "pinfold: interrupted")
		return 130
	}
	var library cli.ExitCoder // the command-line library's own: help for what does not exist
	if errors.As(err, &library) {
		err = pinset.Invalid("%v", err).WithHint("pinfold --help")
	}
	fmt.Fprintf(s.Err, "pinfold: error: %v\n", err)
	if hint := pinset.HintOf(err); hint != "" {
		fmt.Fprintf(s.Err, "pinfold: hint: %s\n", hint)
	}
	return pinset.KindOf(err).Info().Exit
}

func app(s Streams) *cli.App {
	return &cli.App{
		Name:    "pinfold",
		Usage:   "keep a collection on IPFS together with friends",
		Version: Version,
		Description: "Each of you runs pinfold beside the IPFS node at home, joins with one invite, and lends some disk.\n" +
			"Start with `pinfold up`; `pinfold testnet` shows it all in one terminal.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Usage: "this peer's `DIRECTORY` (default: $PINFOLD_PATH or ~/.pinfold)", EnvVars: []string{"PINFOLD_PATH"}},
			&cli.StringFlag{Name: "api", Usage: "API `ADDRESS` of a daemon elsewhere (host:port or socket path)"},
			&cli.StringFlag{Name: "token", Usage: "`TOKEN` for --api", EnvVars: []string{"PINFOLD_TOKEN"}},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "verbose", Usage: "log more to standard error"},
		},
		Commands: []*cli.Command{
			upCommand(), initCommand(), joinCommand(), inviteCommand(), leaveCommand(),
			giveCommand(), setCommand(), drainCommand(), undrainCommand(), evictCommand(), roleCommand(), policyCommand(), pauseCommand(), resumeCommand(), replaceCommand(),
			addCommand(), pinCommand(), stateCommand(), statusCommand(), peersCommand(), queueCommand(), recoverCommand(),
			mirrorCommand(), explainCommand(), planCommand(), balanceCommand(), auditCommand(), receiptCommand(),
			getCommand(), catCommand(), lsCommand(), gcCommand(),
			idCommand(), healthCommand(), tokenCommand(), bridgeCommand(), configCommand(), testnetCommand(), versionCommand(),
		},
		Reader: s.In, Writer: s.Out, ErrWriter: s.Err,
		HideVersion:           true,
		EnableBashCompletion:  true,
		ExitErrHandler:        func(*cli.Context, error) {}, // Run maps errors to exit codes
		OnUsageError:          usageError,
		CommandNotFound:       nil,
		Action:                noCommand,
		CustomAppHelpTemplate: cli.AppHelpTemplate + exitCodes,
	}
}

// exitCodes stands at the end of every help text, from the one table of kinds.
const exitCodes = `
EXIT CODES:
   0 done   1 fault of pinfold or the machine   2 the command is wrong   3 not found   4 does not fit the present state
   5 refused (disk, traffic, a guard)   6 not allowed   7 a part is away, try later   8 not done in time   130 interrupted
`

func usageError(c *cli.Context, err error, _ bool) error {
	return pinset.Invalid("%s", wanted(c, err.Error())).WithHint("%s --help", fullName(c))
}

// badValue is how the library says that a flag's value cannot be read.
var badValue = regexp.MustCompile(`^invalid value "(.*)" for flag -([^:]+): parse error$`)

// wanted says of a flag's value that cannot be read what is possible.
func wanted(c *cli.Context, text string) string {
	found := badValue.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	want := "yes or no: true, false"
	switch typed.Flag(slices.Concat(c.Command.Flags, c.App.Flags), "--"+found[2]).(type) {
	case *cli.IntFlag:
		want = "a whole number"
	case *cli.DurationFlag:
		want = "a time as in 30s, 15m or 48h"
	}
	return fmt.Sprintf("--%s %q: want %s", found[2], found[1], want)
}

// fullName is the command as it is typed: "pinfold pin add".
func fullName(c *cli.Context) string {
	var names []string
	for _, ctx := range c.Lineage() {
		if ctx.Command != nil && ctx.Command.Name != "" {
			names = append([]string{ctx.Command.Name}, names...)
		}
	}
	if len(names) == 0 || names[0] != "pinfold" {
		names = append([]string{"pinfold"}, names...)
	}
	return strings.Join(slices.Compact(names), " ")
}

// noCommand answers `pinfold` alone with the help, and an unknown command with
// the nearest one.
func noCommand(c *cli.Context) error {
	if c.Args().Len() == 0 {
		return cli.ShowAppHelp(c)
	}
	given := c.Args().First()
	e := pinset.Invalid("unknown command %q", given)
	for _, s := range suggestions(c.App.Commands, given) {
		return e.WithHint("pinfold %s", s)
	}
	return e.WithHint("pinfold --help")
}

func suggestions(commands []*cli.Command, given string) []string {
	var out []string
	for _, cmd := range commands {
		if cmd.Hidden {
			continue
		}
		for _, name := range cmd.Names() {
			if strings.HasPrefix(name, given) || strings.HasPrefix(given, name) {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		var names []string
		for _, cmd := range commands {
			names = append(names, cmd.Names()...)
		}
		if near := pinset.Nearest(given, names); near != "" {
			out = append(out, near)
		}
	}
	return out
}

// command finishes a command: errors in its use come back as errors of ours, and
// its help lists the exit codes.
func command(cmd *cli.Command) *cli.Command {
	cmd.OnUsageError = usageError
	cmd.CustomHelpTemplate = cli.SubcommandHelpTemplate + exitCodes
	for _, f := range cmd.Flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			b.DisableDefaultText = true // "(default: false)" says nothing
		}
	}
	if len(cmd.Subcommands) == 0 {
		cmd.CustomHelpTemplate = cli.CommandHelpTemplate + exitCodes
		if act := cmd.Action; cmd.ArgsUsage == "" {
			cmd.Action = func(c *cli.Context) error {
				if _, err := arguments(c, 0, 0); err != nil {
					return err
				}
				return act(c)
			}
		}
	}
	return cmd
}

// arguments returns the command's arguments, or an error that says how it is used
// unless there are min to max of them (max < 0: any number).
func arguments(c *cli.Context, min, max int) ([]string, error) {
	args := c.Args().Slice()
	if len(args) >= min && (max < 0 || len(args) <= max) {
		return args, nil
	}
	if max == 0 {
		return nil, pinset.Invalid("%s %s: this command takes no arguments", fullName(c), args[0]).WithHint("%s --help", fullName(c))
	}
	return nil, pinset.Invalid("%s: %s given", fullName(c), counted(len(args), "argument")).
		WithHint("usage: %s %s", fullName(c), c.Command.ArgsUsage)
}

// openFile opens a file that a command reads, and fails with kind where it cannot be
// opened. A directory is none, which the system says only of the first read.
func openFile(what, name string, kind pinset.Kind) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, pinset.Wrap(kind, err, "read %s", what)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, pinset.Invalid("read %s: %s is a directory", what, name)
	}
	return f, nil
}
