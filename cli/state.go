package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/cli/internal/pincar"
	"github.com/pinfold/pinfold/cli/internal/words"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

func stateCommand() *cli.Command {
	return command(&cli.Command{
		Name: "state", Usage: "the pinset as a whole: what it is made of, take it out, bring one in", Action: noSubcommand,
		Subcommands: []*cli.Command{
			stateInfoCommand(), stateCompactCommand(),
			command(&cli.Command{
				Name: "export", Usage: "write the pinset out, signed by this peer, while everything runs", ArgsUsage: "[FILE]",
				Description: "JSON lines to FILE, which must not exist, or to standard output: the export's head, pins in the form of the API and of\n" +
					"ipfs-cluster's `state export`, and an end with their number and digest. Two pinsets with the same pins have one digest.",
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "car", Usage: "a CAR file (version 1) of dag-cbor blocks instead; needs FILE"}},
				Action: stateExport,
			}),
			command(&cli.Command{
				Name: "import", Usage: "pin what an export says: pinfold's (JSON lines or CAR), or ipfs-cluster's", ArgsUsage: "FILE",
				Description: "FILE - is standard input. A file is read twice: first to check it, and where a line is wrong nothing is changed (see --partial).\n" +
					"Pins that are there and differ stay as they are (see --replace). Importing again goes on where it was interrupted.",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "dry-run", Usage: "check and count, and change nothing"},
					&cli.BoolFlag{Name: "replace", Usage: "pins that are there and differ become as the export says"},
					&cli.BoolFlag{Name: "partial", Usage: "pass over lines that are wrong and pin the others"},
				},
				Action: stateImport,
			}),
		},
	})
}

func stateExport(c *cli.Context) error {
	args, err := arguments(c, 0, 1)
	if err != nil {
		return err
	}
	if c.Bool("car") && (len(args) == 0 || args[0] == "-") {
		return pinset.Invalid("state export --car: needs a FILE: its root is known last").WithHint("pinfold state export --car pins.car")
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	if c.Bool("car") {
		root, err := pincar.Write(c.Context, args[0], api.Export(c.Context))
		if err != nil {
			return exportError(args[0], err)
		}
		_, err = fmt.Fprintln(c.App.Writer, root)
		return err
	}
	if len(args) == 0 || args[0] == "-" {
		return writeLines(c, api, c.App.Writer)
	}
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return exportError(args[0], err)
	}
	if err := errors.Join(writeLines(c, api, f), f.Sync(), f.Close()); err != nil {
		return errors.Join(exportError(args[0], err), os.Remove(args[0]))
	}
	return nil
}

func exportError(path string, err error) error {
	if errors.Is(err, os.ErrExist) {
		return pinset.Errorf(pinset.KindConflict, "write %s: it is there already", path).WithHint("choose another name")
	}
	kind := pinset.KindOf(err)
	if errors.Is(err, os.ErrNotExist) {
		kind = pinset.KindNotFound // the directory it should be in
	}
	return pinset.Wrap(kind, err, "write %s", path)
}

func writeLines(c *cli.Context, api *client.Client, out io.Writer) error {
	for line, err := range api.Export(c.Context) {
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func stateImport(c *cli.Context) error {
	args, err := arguments(c, 1, 1)
	if err != nil {
		return err
	}
	var f *os.File
	if args[0] != "-" {
		if f, err = openFile("export", args[0], pinset.KindNotFound); err != nil {
			return err
		}
		defer f.Close()
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	o := pinset.ImportOptions{DryRun: c.Bool("dry-run"), Replace: c.Bool("replace")}
	if f == nil {
		out, err := api.Import(c.Context, c.App.Reader, o)
		if err != nil {
			return err
		}
		return printImport(c, out)
	}
	if !o.DryRun && !c.Bool("partial") {
		check, err := importFile(c, api, f, pinset.ImportOptions{DryRun: true, Replace: o.Replace})
		if err != nil {
			return err
		}
		if check.Bad > 0 {
			return printImport(c, check)
		}
	}
	out, err := importFile(c, api, f, o)
	if err != nil {
		return err
	}
	return printImport(c, out)
}

// importFile sends a file from its beginning, with a bar on a terminal.
func importFile(c *cli.Context, api *client.Client, f *os.File, o pinset.ImportOptions) (pinset.Import, error) {
	if pincar.Is(f) {
		return importCAR(c, api, f, o)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return pinset.Import{}, pinset.Wrap(pinset.KindInternal, err, "read %s", f.Name())
	}
	var in io.Reader = f
	if info, err := f.Stat(); err == nil && onTerminal(c.App.ErrWriter) && !c.Bool("json") {
		what := "importing"
		if o.DryRun {
			what = "checking"
		}
		bar := progressbar.DefaultBytes(info.Size(), what)
		defer bar.Close()
		in = io.TeeReader(f, bar)
	}
	return api.Import(c.Context, in, o)
}

func importCAR(c *cli.Context, api *client.Client, f *os.File, o pinset.ImportOptions) (pinset.Import, error) {
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := pincar.Read(f, w)
		w.CloseWithError(err)
		read <- err
	}()
	out, err := api.Import(c.Context, r, o)
	r.CloseWithError(io.ErrClosedPipe) // whoever still writes ends
	if bad := <-read; bad != nil && !errors.Is(bad, io.ErrClosedPipe) {
		return out, bad
	}
	return out, err
}

// printImport tells the counts, and ends with an error where lines were wrong.
func printImport(c *cli.Context, i pinset.Import) error {
	if c.Bool("json") {
		if err := printJSON(c, i); err != nil {
			return err
		}
	} else {
		var b bytes.Buffer
		words.Import(&b, i)
		if _, err := c.App.Writer.Write(b.Bytes()); err != nil {
			return err
		}
	}
	if i.Bad == 0 || c.Bool("partial") {
		return nil
	}
	e := pinset.Invalid("%s could not be used", counted(i.Bad, "line"))
	if i.DryRun {
		return e.WithHint("nothing was changed; --partial imports the others")
	}
	return e
}
