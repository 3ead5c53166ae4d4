package testnet

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// AddSample writes a small collection (40 files, 8 MB) and adds it at the first
// peer, with copies at two members. It returns the collection's root.
func (n *Network) AddSample(ctx context.Context) (cid.Cid, error) {
	dir := filepath.Join(n.opts.Dir, "sample")
	if err := writeSample(dir); err != nil {
		return cid.Undef, fmt.Errorf("write sample: %w", err)
	}
	st, err := os.Stat(dir)
	if err != nil {
		return cid.Undef, err
	}
	node, err := files.NewSerialFile(dir, false, st)
	if err != nil {
		return cid.Undef, err
	}
	tree := files.NewMapDirectory(map[string]files.Node{"sample": node})
	want := pinset.Replication{Min: min(2, len(n.peers)), Max: min(2, len(n.peers))}
	var root cid.Cid
	for added, err := range n.peers[0].Client().Add(ctx, tree, pinset.AddOptions{}, pinset.Pin{Name: "sample", Replication: want}) {
		if err != nil {
			return cid.Undef, fmt.Errorf("add sample at %s: %w", n.peers[0].Name, err)
		}
		if added.CID.Defined() {
			root = added.CID
		}
	}
	return root, nil
}

func writeSample(dir string) error {
	source := rand.NewChaCha8([32]byte{'p', 'i', 'n', 'f', 'o', 'l', 'd'})
	for i := range 40 {
		sub := filepath.Join(dir, fmt.Sprintf("volume-%d", i/10+1))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		page := make([]byte, 200_000)
		source.Read(page)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("page-%02d.bin", i)), page, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Follow writes to out how c spreads, a line whenever something changes, until
// the wanted copies are there and nothing moves any more, or ctx ends.
func (n *Network) Follow(ctx context.Context, out io.Writer, c cid.Cid) error {
	begin, last := time.Now(), ""
	for {
		line, settled, err := n.spread(ctx, c)
		if err != nil {
			return err
		}
		if line != last {
			fmt.Fprintf(out, "%6.1fs  %s\n", time.Since(begin).Seconds(), line)
			last = line
		}
		if settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// spread says in one line what each peer holds of c, and whether it is all there.
func (n *Network) spread(ctx context.Context, c cid.Cid) (line string, settled bool, err error) {
	sum, err := n.peers[0].Client().Status(ctx, c, false)
	if err != nil {
		return "", false, fmt.Errorf("ask %s for status: %w", n.peers[0].Name, err)
	}
	var cells []string
	moving := false
	for _, p := range n.peers {
		for _, h := range sum.Holdings {
			if h.Peer != p.id.ID {
				continue
			}
			cell := p.Name + " " + h.Status.String()
			switch {
			case h.Status == pinset.StatusPinning:
				cell += fmt.Sprintf(" %d blocks", h.Progress.Blocks)
			case h.Interim:
				cell += " (until others have it)"
			}
			moving = moving || (h.Status != pinset.StatusPinned && h.Status != pinset.StatusRemote)
			cells = append(cells, cell)
		}
	}
	return strings.Join(cells, "   "), !moving && sum.Short == 0 && len(cells) == len(n.peers), nil
}
