package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/boxo/files"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func addCommand() *cli.Command {
	return command(&cli.Command{
		Name: "add", Usage: "bring files in and keep them", ArgsUsage: "FILE|DIR [FILE|DIR …]",
		Description: "Gives the same CIDs as Kubo's `ipfs add` with the same options. When it returns, the data and its pin are\n" +
			"safe on this machine and spread from there. - reads standard input.",
		Flags: append(pinFlags(),
			&cli.BoolFlag{Name: "recursive", Aliases: []string{"r"}, Usage: "directories too"},
			&cli.BoolFlag{Name: "wrap-with-directory", Aliases: []string{"w"}, Usage: "in a directory, so that names are kept"},
			&cli.IntFlag{Name: "cid-version", Usage: "`VERSION` 0 or 1"},
			&cli.BoolFlag{Name: "raw-leaves", Usage: "leaves without a wrapper (default with CID version 1)"},
			&cli.StringFlag{Name: "chunker", Usage: "`CHUNKER`: size-262144 (default), rabin-MIN-AVG-MAX, buzhash"},
			&cli.BoolFlag{Name: "hidden", Aliases: []string{"H"}, Usage: "files that begin with a dot too"},
			&cli.BoolFlag{Name: "only-hash", Aliases: []string{"n"}, Usage: "compute the CIDs, keep nothing"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "CIDs only"},
			&cli.BoolFlag{Name: "quieter", Aliases: []string{"Q"}, Usage: "the last CID only"},
			&cli.BoolFlag{Name: "no-progress", Usage: "no progress bar"},
		),
		Action: add,
	})
}

func add(c *cli.Context) error {
	args, err := arguments(c, 1, -1)
	if err != nil {
		return err
	}
	wish, err := pinWish(c)
	if err != nil {
		return err
	}
	opts := pinset.AddOptions{
		CIDVersion: c.Int("cid-version"), Chunker: c.String("chunker"), Wrap: c.Bool("wrap-with-directory"),
		Hidden: c.Bool("hidden"), OnlyHash: c.Bool("only-hash"), Name: wish.Name,
	}
	if opts.CIDVersion != 0 && opts.CIDVersion != 1 {
		return pinset.Invalid("--cid-version %d: want 0 or 1", opts.CIDVersion)
	}
	if c.IsSet("raw-leaves") {
		raw := c.Bool("raw-leaves")
		opts.RawLeaves = &raw
	}
	tree, total, err := readTree(c, args)
	if err != nil {
		return err
	}
	defer tree.Close()
	api, err := connect(c)
	if err != nil {
		return err
	}
	var bar *progressbar.ProgressBar
	if onTerminal(c.App.ErrWriter) && !c.Bool("no-progress") && !c.Bool("json") {
		bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.App.ErrWriter), progressbar.OptionShowBytes(true),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("adding"))
		opts.Progress = true
	}
	show := addPrinter{c: c, bar: bar, done: map[string]uint64{}}
	for a, err := range api.Add(c.Context, tree, opts, wish) {
		if err != nil {
			show.clear()
			return err
		}
		if err := show.print(a); err != nil {
			return err
		}
	}
	return show.finish()
}

// addPrinter shows what is added as `ipfs add` does.
type addPrinter struct {
	c    *cli.Context
	bar  *progressbar.ProgressBar
	done map[string]uint64 // bytes read of each file under way
	sum  uint64
	last pinset.Added
}

func (p *addPrinter) print(a pinset.Added) error {
	if !a.CID.Defined() {
		p.sum += a.Bytes - p.done[a.Path]
		p.done[a.Path] = a.Bytes
		if p.bar != nil {
			return p.bar.Set64(int64(p.sum))
		}
		return nil
	}
	delete(p.done, a.Path)
	p.last = a
	out := p.c.App.Writer
	var err error
	switch {
	case p.c.Bool("quieter"):
	case p.c.Bool("json"):
		err = printJSON(p.c, dialect.NewAdded(a))
	case p.c.Bool("quiet"):
		_, err = fmt.Fprintln(out, a.CID)
	default:
		p.clear()
		_, err = fmt.Fprintf(out, "added %s %s\n", a.CID, a.Path)
	}
	return err
}

func (p *addPrinter) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

func (p *addPrinter) finish() error {
	p.clear()
	if p.c.Bool("quieter") && p.last.CID.Defined() {
		_, err := fmt.Fprintln(p.c.App.Writer, p.last.CID)
		return err
	}
	return nil
}

// readTree opens what the arguments name as one directory, and counts its bytes.
func readTree(c *cli.Context, args []string) (files.Directory, int64, error) {
	entries := map[string]files.Node{}
	var order []files.DirEntry
	var total int64
	for _, arg := range args {
		if arg == "-" {
			order = append(order, files.FileEntry("", files.NewReaderFile(c.App.Reader)))
			total = -1
			continue
		}
		st, err := os.Lstat(arg)
		if err != nil {
			return nil, 0, pinset.Wrap(pinset.KindNotFound, err, "add %s", arg)
		}
		if st.IsDir() && !c.Bool("recursive") {
			return nil, 0, pinset.Invalid("%s is a directory", arg).WithHint("pinfold add -r %s", arg)
		}
		node, err := files.NewSerialFile(arg, c.Bool("hidden"), st)
		if err != nil {
			return nil, 0, pinset.Wrap(pinset.KindInvalid, err, "add %s", arg)
		}
		name, err := filepath.Abs(arg)
		if err != nil {
			return nil, 0, err
		}
		name = filepath.Base(name)
		if _, twice := entries[name]; twice {
			return nil, 0, pinset.Invalid("%s: two arguments are named %q", arg, name).WithHint("add them one by one")
		}
		entries[name] = node
		if size, err := node.Size(); err == nil && total >= 0 {
			total += size
		}
		order = append(order, files.FileEntry(name, node))
	}
	return files.NewSliceDirectory(order), total, nil
}
