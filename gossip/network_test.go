package gossip

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

// trio starts three members that know the first one's address.
func trio(t *testing.T) (*club, []*player) {
	t.Helper()
	c := newClub(t, 3)
	a := c.play(c.keys[0], nil)
	ps := []*player{a, c.play(c.keys[1], bootstrap(a)), c.play(c.keys[2], bootstrap(a))}
	linked(t, ps...)
	return c, ps
}

func TestSmallAndLargeDeltasReachEverybody(t *testing.T) {
	t.Parallel()
	_, ps := trio(t)
	for i, size := range []int{10, 100, wire.MaxInline - 100, wire.MaxInline + 1, 100 << 10, 900 << 10} {
		from := ps[i%len(ps)]
		from.Announce(from.log.write(bytes.Repeat([]byte{byte(i)}, size)))
		agree(t, ps...)
	}
}

func TestMembersLearnAddressesFromOneAnother(t *testing.T) {
	t.Parallel()
	_, ps := trio(t) // the second and third know only the first's address
	if ps[1].host.Network().Connectedness(ps[2].ID()) != network.Connected {
		t.Error("the second and third are not connected")
	}
}

func TestBothHalvesLearnEverythingAfterASplit(t *testing.T) {
	t.Parallel()
	_, ps := trio(t)
	ps[2].Cut(ps[0].ID(), ps[1].ID())
	eventually(t, "cut", func() bool { return len(ps[2].connected()) == 0 })
	for i, p := range ps {
		for j := range 20 {
			p.Announce(p.log.write(fmt.Appendf(nil, "%d in the split %d", i, j)))
		}
	}
	agree(t, ps[0], ps[1])
	if ps[2].log.size() != 20 {
		t.Fatalf("the cut peer has %d deltas, want its own 20", ps[2].log.size())
	}
	ps[2].Heal()
	agree(t, ps...)
	if ps[0].log.size() != 60 {
		t.Errorf("%d deltas after the split, want 60", ps[0].log.size())
	}
}

func TestStatementsReachEverybody(t *testing.T) {
	t.Parallel()
	_, ps := trio(t)
	raw := statementOf(ps[0].ID(), 1, 100)
	_, _ = ps[0].records.Accept(t.Context(), raw)
	ps[0].Share(raw)
	large := statementOf(ps[1].ID(), 7, 200<<10) // too large for the topic
	_, _ = ps[1].records.Accept(t.Context(), large)
	ps[1].Share(large)
	for _, p := range ps {
		eventually(t, "statements", func() bool {
			s := p.records.Seqs()
			return s[ps[0].ID()] == 1 && s[ps[1].ID()] == 7
		})
	}
}

func TestANetworkThatIsStoppedBeforeItRuns(t *testing.T) {
	t.Parallel()
	c := newClub(t, 1)
	p := newFakeLog(c.keys[0])
	n, err := New(c.config(c.keys[0]), Deps{Blocks: p, Summary: p.summary, Authority: c.Authority})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close after Run: %v", err)
	}
}
