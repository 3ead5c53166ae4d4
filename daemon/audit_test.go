package daemon_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// TestAuditOfAWholeCluster: promised and held, proven by challenges; then blocks
// vanish behind a member's back, which a challenge finds; then the member dies,
// which the deficit names.
func TestAuditOfAWholeCluster(t *testing.T) {
	r := &rig{t: t, world: &ipfsclienttest.World{Open: true}} // what is imagined has no blocks to show
	r.join(nil)
	r.join(nil)
	var root cid.Cid
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile(bytes.Repeat([]byte("kept "), 200000))})
	for e, err := range r.peers[0].Add(t.Context(), dir, pinset.AddOptions{CIDVersion: 1}, pinset.Pin{}) {
		if err != nil {
			t.Fatal(err)
		}
		root = e.CID
	}
	var a pinset.Audit
	kubotest.Eventually(t, rigPatience, "both have said that they hold it", func() (err error) {
		if a, err = r.peers[0].Audit(t.Context(), time.Hour, 0); err != nil {
			return err
		}
		for _, m := range a.Members {
			if m.Held != 1 || m.Promised != 1 || !m.Heard {
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
	short := func() (n int, err error) {
		for s, err := range r.peers[0].Deficit(t.Context()) {
			if err != nil || s.CID != root || s.Short != 1 {
				return n, fmt.Errorf("%+v, %w", s, err)
			}
			n++
		}
		return n, nil
	}
	if n, err := short(); a.Broken != 0 || len(a.Members) != 2 || n != 0 || err != nil {
		t.Fatalf("all is well: %+v, %d short, %v", a, n, err)
	}
	if a, err := r.peers[0].Audit(t.Context(), time.Hour, 5); err != nil || len(a.Tests) != 1 || !a.Tests[0].Met || a.Broken != 0 {
		t.Fatalf("challenged: %+v, %v", a, err)
	}
	var doc pinset.SignedReceipt
	kubotest.Eventually(t, rigPatience, "a receipt", func() (err error) {
		doc, err = r.peers[1].Receipt(t.Context(), root)
		if err == nil && len(doc.Claims.Holders) != 2 {
			err = fmt.Errorf("%+v", doc.Claims)
		}
		return err
	})
	strange, member := daemon.Dir(t.TempDir()), r.peers[0].dir
	for _, d := range []daemon.Dir{strange, member} {
		if got, err := d.VerifyReceipt(doc); err != nil || !got.Valid || len(got.Claims.Holders) != 2 || got.Claims.Members != 2 {
			t.Errorf("verified at %s: %+v, %v", d, got, err)
		}
	}
	r.peers[1].node.(*ipfsclienttest.Fake).Lose(root)
	if a, err := r.peers[0].Audit(t.Context(), time.Hour, 5); err != nil || len(a.Tests) != 1 || a.Tests[0].Met || a.Broken != 1 {
		t.Errorf("without the blocks: %+v, %v", a, err)
	}
	r.end(r.peers[1])
	kubotest.Eventually(t, rigPatience, "what only one has is named", func() error {
		n, err := short()
		if err == nil && n != 1 {
			err = fmt.Errorf("%d are short", n)
		}
		return err
	})
}
