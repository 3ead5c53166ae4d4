package daemon_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// hashes are what is pinned at an IPFS node, by multihash.
type hashes map[string]bool

// marked lists what pinfold has pinned at a peer's IPFS node.
func (p *rigPeer) marked(t testing.TB) hashes {
	t.Helper()
	out := hashes{}
	for pin, err := range p.d.Node().Pins(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(pin.Name, "pinfold:") {
			out[string(pin.CID.Hash())] = true
		}
	}
	return out
}

// assigned tells what shall be at each member.
func (r *rig) assigned() map[peer.ID]hashes {
	r.t.Helper()
	out := map[peer.ID]hashes{}
	for s, err := range r.peers[0].StatusAll(r.t.Context(), client.StatusOptions{Local: true}) {
		if err != nil {
			r.t.Fatal(err)
		}
		for _, id := range s.Allocation {
			if out[id] == nil {
				out[id] = hashes{}
			}
			out[id][string(s.CID.Hash())] = true
		}
	}
	return out
}

// settled waits until each IPFS node holds what is assigned to it and nothing
// else, and returns that. see is called with what the nodes hold meanwhile.
func (r *rig) settled(what string, see func(map[peer.ID]hashes)) map[peer.ID]hashes {
	r.t.Helper()
	ids := make([]peer.ID, len(r.peers))
	for i, p := range r.peers {
		self, err := p.Self(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		ids[i] = self.ID
	}
	var have map[peer.ID]hashes
	kubotest.Eventually(r.t, 3*rigPatience, what, func() error {
		have = map[peer.ID]hashes{}
		for i, p := range r.peers {
			have[ids[i]] = p.marked(r.t)
		}
		see(have)
		for i, want := range r.assigned() {
			if !maps.Equal(have[i], want) {
				return fmt.Errorf("%s holds %d of its %d, and %d in all", i, have[i].among(want), len(want), len(have[i]))
			}
		}
		for id, h := range have {
			if len(r.assigned()[id]) == 0 && len(h) > 0 {
				return fmt.Errorf("%s holds %d and shall have none", id, len(h))
			}
		}
		return nil
	})
	return have
}

func (h hashes) among(others hashes) (n int) {
	for k := range h {
		if others[k] {
			n++
		}
	}
	return n
}

// movement counts the copies made from one state to another, and the least that
// had to be.
func movement(before, after map[peer.ID]hashes) (moved, least int) {
	for id, h := range after {
		moved += len(h) - h.among(before[id])
		least += max(0, len(h)-len(before[id]))
	}
	return moved, least
}

// fewest is the least number of nodes that hold one of all.
func fewest(all hashes, have map[peer.ID]hashes) int {
	least := math.MaxInt
	for k := range all {
		n := 0
		for _, h := range have {
			if h[k] {
				n++
			}
		}
		least = min(least, n)
	}
	return least
}

// smallFiles are so many files of random content, of 200 bytes to 8 kB.
func smallFiles(n int) files.Directory {
	dice := rand.New(rand.NewPCG(1, 2))
	var out []files.DirEntry
	for i := range n {
		content := make([]byte, 200+dice.IntN(7800))
		for j := range content {
			content[j] = byte(dice.Uint32())
		}
		out = append(out, files.FileEntry(fmt.Sprintf("file %d", i), files.NewBytesFile(content)))
	}
	return files.NewSliceDirectory(out)
}

// checkShares compares each member's share of all copies with its share of what is
// lent.
func checkShares(t *testing.T, when string, r *rig, have map[peer.ID]hashes) {
	t.Helper()
	lent, sum, copies := map[peer.ID]uint64{}, uint64(0), 0
	for m, err := range r.peers[0].Peers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.State == "active" {
			lent[m.ID] = m.Lent
			sum += m.Lent
		}
	}
	for _, h := range have {
		copies += len(h)
	}
	worst := 0.0
	for id, h := range have {
		off := 100 * (float64(len(h))/float64(copies) - float64(lent[id])/float64(sum))
		if worst = max(worst, math.Abs(off)); math.Abs(off) > 3 {
			t.Errorf("%s: %s lends %s and has %d of %d copies, %.1f points from its share", when, id, pinset.FormatSize(lent[id]), len(h), copies, off)
		}
	}
	t.Logf("%s: %d copies, shares within %.2f points", when, copies, worst)
}

// TestUnequalPeersOnRealNodes: eight peers with embedded IPFS nodes that lend
// 1:2:4:8, 2,000 small files. Shares are as what is lent, a join and a planned
// leave move little, and during the leave nothing is below its minimum; all of it
// counted at the IPFS nodes.
func TestUnequalPeersOnRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	const count, least = 2000, 2
	r := &rig{t: t}
	join := func(give string) *rigPeer {
		return r.join(map[string]string{"give": give, "ipfs.node": "embedded", "ipfs.listen": "/ip4/127.0.0.1/tcp/0", "tracker.grace": "1s", "tracker.reserve": "0"})
	}
	for range 2 {
		for _, give := range []string{"1GB", "2GB", "4GB", "8GB"} {
			join(give)
		}
	}
	for a, err := range r.peers[0].Add(t.Context(), smallFiles(count), pinset.AddOptions{CIDVersion: 1}, pinset.Pin{}) {
		if err != nil {
			t.Fatalf("after %v: %v", a, err)
		}
	}
	r.all(count)
	quiet := func(map[peer.ID]hashes) {}
	at := r.settled("all is where it belongs", quiet)
	checkShares(t, "eight peers", r, at)
	all := hashes{}
	for _, h := range at {
		maps.Copy(all, h)
	}
	if len(all) != count {
		t.Fatalf("%d files are held, want %d", len(all), count)
	}
	checkMove := func(what string, before, after map[peer.ID]hashes) {
		moved, least := movement(before, after)
		t.Logf("%s: %d copies moved, %.2f times the least", what, moved, float64(moved)/float64(least))
		if least == 0 || float64(moved) > 1.25*float64(least) {
			t.Errorf("%s: %d copies moved, the least is %d", what, moved, least)
		}
	}
	join("4GB")
	joined := r.settled("the joiner has its share", quiet)
	checkShares(t, "with a ninth", r, joined)
	checkMove("join", at, joined)

	leaver := r.peers[3]
	id := leaver.id(t)
	if err := leaver.Drain(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	looks := 0
	drained := r.settled("the drained one has handed over", func(have map[peer.ID]hashes) {
		looks++
		if n := fewest(all, have); n < least {
			t.Fatalf("during the leave a file has %d copies", n)
		}
	})
	checkMove("leave", joined, drained)
	if len(drained[id]) != 0 {
		t.Errorf("who has drained holds %d", len(drained[id]))
	}
	if err := leaver.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-leaver.done
	leaver.stop = nil
	r.peers = slices.DeleteFunc(r.peers, func(p *rigPeer) bool { return p == leaver })
	members(t, r.peers[0], 8)
	left := r.settled("nothing moves when it has left", quiet)
	delete(drained, id)
	if moved, _ := movement(drained, left); moved != 0 {
		t.Errorf("%d copies moved when it had left", moved)
	}
	checkShares(t, "after the leave", r, left)
	t.Logf("%d looks during the leave", looks)
}
