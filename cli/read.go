package cli

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ipfs/boxo/tar"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func getCommand() *cli.Command {
	return command(&cli.Command{
		Name: "get", Usage: "write a file or directory to disk", ArgsUsage: "CID[/PATH]",
		Description: "Reads from whoever has it: this node, or the members that hold it.",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "to `PATH` (default: the last name)"}},
		Action: func(c *cli.Context) error {
			target, err := onePath(c)
			if err != nil {
				return err
			}
			to := c.String("output")
			if to == "" {
				to = path.Base(target)
			}
			if _, err := os.Lstat(to); err == nil {
				return pinset.Errorf(pinset.KindConflict, "%s is there already", to).WithHint("pinfold get %s -o OTHER", target)
			}
			if parent, err := os.Stat(filepath.Dir(to)); err != nil || !parent.IsDir() {
				return pinset.Invalid("save to %s: there is no directory %s", to, filepath.Dir(to)).WithHint("mkdir -p %s", filepath.Dir(to))
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			if err := save(c, api, target, to); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, map[string]string{"path": target, "saved": to})
			}
			fmt.Fprintf(c.App.Writer, "saved %s to %s\n", target, to)
			return nil
		},
	})
}

func catCommand() *cli.Command {
	return command(&cli.Command{
		Name: "cat", Usage: "print a file", ArgsUsage: "CID[/PATH]",
		Action: func(c *cli.Context) error {
			target, err := onePath(c)
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			body, _, err := api.Read(c.Context, target)
			if err != nil && pinset.KindOf(err) == pinset.KindInvalid {
				return (&pinset.Error{Kind: pinset.KindInvalid, Msg: "cat", Err: err}).WithHint("pinfold ls %s, or pinfold get %s", target, target)
			}
			if err != nil {
				return err
			}
			defer body.Close()
			_, err = io.Copy(c.App.Writer, body)
			return err
		},
	})
}

func lsCommand() *cli.Command {
	return command(&cli.Command{
		Name: "ls", Usage: "list a directory", ArgsUsage: "CID[/PATH]",
		Action: func(c *cli.Context) error {
			target, err := onePath(c)
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			for link, err := range api.List(c.Context, target) {
				if err != nil {
					return err
				}
				name := link.Name
				if link.Dir {
					name += "/"
				}
				if c.Bool("json") {
					err = printJSON(c, dialect.NewLink(link))
				} else {
					_, err = fmt.Fprintf(c.App.Writer, "%s  %10d  %s\n", link.CID, link.Size, name)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// save writes what is at a path to disk. What came before a failure is left there,
// and said.
func save(c *cli.Context, api *client.Client, target, to string) error {
	archive, err := api.Tar(c.Context, target)
	if err != nil {
		return err
	}
	defer archive.Close()
	x := tar.Extractor{Path: to}
	if err := x.Extract(archive); err != nil {
		return pinset.Wrap(pinset.KindOf(err), err, "save %s to %s (what is there now is not whole)", target, to)
	}
	return nil
}

// onePath reads the one argument: a CID with or without a path below it.
func onePath(c *cli.Context) (string, error) {
	args, err := arguments(c, 1, 1)
	if err != nil {
		return "", err
	}
	target := strings.Trim(strings.TrimPrefix(args[0], "/ipfs/"), "/")
	root, _, _ := strings.Cut(target, "/")
	if _, err := parseCIDs([]string{root}); err != nil {
		return "", err
	}
	return target, nil
}
