package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// Each knows of the other only where it was: without the same ports, an invite that
// is older than the restart and the book are both wrong on both sides.
func TestPeersOnPort0FindEachOtherAfterBothRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2, nil)
	a, b := r.peers[0], r.peers[1]
	a.eventually(t, b, "the first hears the second", func(p pinset.Peer) bool { return !p.LastHeard.IsZero() })
	where := a.reached(t)
	for _, pair := range [][2]*rigPeer{{a, b}, {b, a}} {
		kubotest.Eventually(t, rigPatience, "one has the other in its address book", func() error {
			books, err := filepath.Glob(filepath.Join(string(pair[0].dir), "clusters", "*", "book"))
			if err != nil || len(books) != 1 {
				return fmt.Errorf("books: %v, %v", books, err)
			}
			text, err := os.ReadFile(books[0])
			if err == nil && !strings.Contains(string(text), pair[1].id(t).String()) {
				err = fmt.Errorf("it has %s", text)
			}
			return err
		})
	}
	r.end(a)
	r.end(b)
	started := time.Now()
	r.again(a)
	r.again(b)
	for _, pair := range [][2]*rigPeer{{a, b}, {b, a}} {
		pair[0].eventually(t, pair[1], "one hears the other after both restarted", func(p pinset.Peer) bool { return p.LastHeard.After(started) })
	}
	if now := a.reached(t); now != where {
		t.Errorf("it listens at %s, and before at %s", now, where)
	}
}

func (p *rigPeer) reached(t *testing.T) string {
	t.Helper()
	self, err := p.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(self.Addresses)
}
