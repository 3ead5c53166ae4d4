package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func receiptCommand() *cli.Command {
	return command(&cli.Command{
		Name: "receipt", Usage: "a signed document on who holds a CID", ArgsUsage: "CID",
		Description: "Prints who holds the CID, under which membership, since when, with the statements that these members signed and what\n" +
			"ties them to the cluster's founding record. `pinfold receipt verify` needs nothing but that document.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
			if err != nil {
				return err
			}
			cids, err := parseCIDs(args)
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			doc, err := api.Receipt(c.Context, cids[0])
			if err != nil {
				return err
			}
			return printJSON(c, doc)
		},
		Subcommands: []*cli.Command{receiptVerifyCommand()},
	})
}

func receiptVerifyCommand() *cli.Command {
	return command(&cli.Command{
		Name: "verify", Usage: "see whether a receipt holds", ArgsUsage: "FILE",
		Description: "Needs no daemon and no network; - reads standard input. It names what does not hold, and then the exit code is 1.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
			if err != nil {
				return err
			}
			doc, err := readReceipt(c, args[0])
			if err != nil {
				return err
			}
			dir, err := directory(c)
			if err != nil {
				return err
			}
			found, err := dir.VerifyReceipt(doc)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				err = printJSON(c, found)
			} else {
				err = printReceipt(c.App.Writer, found)
			}
			if err == nil && !found.Valid {
				err = pinset.Errorf(pinset.KindInternal, "the receipt does not hold: %s", found.Faults[0])
			}
			return err
		},
	})
}

// maxReceipt bounds a receipt's file in bytes.
const maxReceipt = 32 << 20

func readReceipt(c *cli.Context, name string) (doc pinset.SignedReceipt, err error) {
	in := c.App.Reader
	if name != "-" {
		f, err := openFile("receipt", name, pinset.KindInvalid)
		if err != nil {
			return doc, err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxReceipt+1))
	if err != nil {
		return doc, pinset.Wrap(pinset.KindUnavailable, err, "read receipt %s", name)
	}
	if len(raw) > maxReceipt {
		return doc, pinset.Invalid("receipt %s: more than %s", name, pinset.FormatSize(maxReceipt))
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return doc, pinset.Invalid("receipt %s: %v", name, err).WithHint("it is what `pinfold receipt CID` printed, whole")
	}
	return doc, nil
}

func printReceipt(out io.Writer, r pinset.ReceiptCheck) error {
	for _, f := range r.Faults {
		fmt.Fprintf(out, "DOES NOT HOLD: %s\n", f)
	}
	if !r.Valid {
		return nil // nothing of it is worth to be read
	}
	cl := r.Claims
	fmt.Fprintf(out, "%s in the cluster %s (%s)\n", cl.CID, cl.Name, cl.Cluster)
	for _, p := range cl.Pins {
		fmt.Fprintf(out, "pinned as %s%s\n", orElse(p.Name, "a pin without a name"), owned(p.Owner))
	}
	fmt.Fprintf(out, "held by %d of %s, where %d are needed, as of %s\n", len(cl.Holders), counted(cl.Members, "member"), cl.Needed, cl.At.Local().Format(time.DateTime))
	t := newTable(out, "MEMBER", "SINCE", "LAST SAID", "PEER")
	for _, h := range cl.Holders {
		t.row(h.Name, h.Since.Local().Format(time.DateTime), h.Said.Local().Format(time.DateTime), h.Peer.String())
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "issued by %s (%s)\n", cl.IssuerName, cl.Issuer)
	for _, n := range r.Notes {
		fmt.Fprintln(out, n)
	}
	return nil
}
