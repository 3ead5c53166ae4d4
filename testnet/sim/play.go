package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/pinset"
)

// player runs one scenario.
type player struct {
	Scenario
	cables Cables
	limit  time.Duration // until which healed peers must agree
	pause  func(time.Duration)
	club   *Club
	peers  []*Peer
	oracle Oracle
	step   int
}

// Play runs a scenario inside a synctest bubble; dir names a directory for each
// peer's disk. It returns what went wrong.
func Play(ctx context.Context, s Scenario, dir func(peer int) string, log *slog.Logger) error {
	w := NewWorld(s.Delay)
	defer w.Close()
	p := &player{Scenario: s, cables: w, limit: 10 * time.Minute, pause: time.Sleep}
	return p.play(ctx, w, dir, log)
}

// PlayLoopback runs a scenario in real time over real connections. Its waits are
// a hundredth of what the scenario says, and short.
func PlayLoopback(ctx context.Context, s Scenario, dir func(peer int) string, log *slog.Logger) error {
	l, err := NewLoopback(s.Peers)
	if err != nil {
		return err
	}
	defer l.Close()
	p := &player{Scenario: s, cables: l, limit: time.Minute, pause: func(d time.Duration) {
		t := time.NewTimer(max(10*time.Millisecond, min(d/100, 500*time.Millisecond)))
		defer t.Stop()
		<-t.C
	}}
	return p.play(ctx, l, dir, log)
}

func (p *player) play(ctx context.Context, sites Sites, dir func(peer int) string, log *slog.Logger) (err error) {
	if p.club, err = NewClub(sites, p.Seed, log); err != nil {
		return err
	}
	defer func() {
		for _, o := range p.peers {
			err = errors.Join(err, o.Stop())
		}
		p.pause(time.Second) // pubsub sleeps when it starts, and does not hear of its end
	}()
	for i := range p.Peers {
		o, err := p.club.NewPeer(i, p.Stores[i], dir(i))
		if err != nil {
			return err
		}
		p.peers = append(p.peers, o)
	}
	if err := p.gather(ctx); err != nil {
		return err
	}
	for i, step := range p.Steps {
		p.step = i
		log.Info("step", "n", i, "what", step.String())
		if err := p.do(ctx, step); err != nil {
			return fmt.Errorf("step %d (%s): %w", i, step, err)
		}
		p.pause(step.Wait)
	}
	return p.finish(ctx)
}

// gather founds the cluster and lets the first members join one another.
func (p *player) gather(ctx context.Context) error {
	for i := range p.Peers - p.Late {
		if i > 0 {
			p.peers[i].Seen = []peer.AddrInfo{p.peers[0].Info()}
		}
		if err := p.peers[i].Start(ctx); err != nil {
			return err
		}
	}
	return p.agreed(ctx, p.Peers-p.Late)
}

func (p *player) do(ctx context.Context, s Step) error {
	o := p.peers[s.Peer]
	switch s.Do {
	case Pin, Unpin:
		p.write(ctx, o, s.Key, s.Do == Unpin)
	case Burst:
		p.burst(ctx, o, s)()
	case Cut:
		p.cables.Connect(p.Peers, s.Shape.Cable)
	case Heal:
		p.cables.Heal()
	case Crash:
		return p.crash(o)
	case Dying:
		wait := p.burst(ctx, o, s)
		err := p.crash(o)
		wait()
		return err
	case Restart:
		return o.Start(ctx)
	case Join:
		o.Seen = []peer.AddrInfo{p.peers[s.Sponsor].Info()}
		return o.Start(ctx)
	case Expel:
		return p.remove(ctx, o, p.peers[0])
	case Leave:
		return p.remove(ctx, o, o)
	case Compact:
		if o.Up() {
			o.State.Compact()
		}
	}
	return nil
}

// remove lets signer remove o, gives the news a little time, and ends o. What o
// had written and signer did not know may be lost.
func (p *player) remove(ctx context.Context, o, signer *Peer) error {
	if !signer.State.Authority().Is(o.Key.ID()) || !signer.State.Authority().Is(signer.Key.ID()) {
		return nil // still joining: nothing to remove
	}
	e, err := signer.State.Authority().Removal(o.Key.ID(), signer.Key.ID())
	if err != nil {
		return err
	}
	if _, err := signer.State.Commit(ctx, crdtstate.Op{Key: e.Key, Value: e.Value}); err != nil {
		return err
	}
	p.oracle.forget(o.Key.ID(), signer.State.Vector()[o.Key.ID()])
	p.pause(time.Second)
	if o == signer && !p.heardOf(o) {
		return o.Stop() // finish lets it tell the others
	}
	o.Gone = true
	return o.Stop()
}

// heardOf says whether another peer knows that o is no member.
func (p *player) heardOf(o *Peer) bool {
	return slices.ContainsFunc(p.peers, func(other *Peer) bool {
		return other != o && other.Up() && other.State.Authority().Ever(o.Key.ID()) && !other.State.Authority().Is(o.Key.ID())
	})
}

// crash pulls all of a peer's cables and then stops it, so that the others hear
// nothing of it.
func (p *player) crash(o *Peer) error {
	p.cables.Pull(o.Number)
	err := o.Stop()
	p.cables.Plug(o.Number)
	return err
}

func item(key int) cid.Cid {
	sum, err := multihash.Sum(fmt.Appendf(nil, "item %d", key), multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	return cid.NewCidV1(cid.Raw, sum)
}

// write asks a peer to pin or unpin, and notes what it answered.
func (p *player) write(ctx context.Context, o *Peer, key int, remove bool) {
	op, w := p.prepare(o, key, remove)
	r, err := o.State.Commit(ctx, op)
	w.receipt(r, err)
	w.mayHave = o.State.Vector()
	p.oracle.note(op.Key, w)
}

func (p *player) prepare(o *Peer, key int, remove bool) (crdtstate.Op, write) {
	pin := pinset.Pin{CID: item(key), Name: fmt.Sprintf("step %d", p.step), Created: time.Now()}
	op := crdtstate.Op{Key: pin.Key()}
	if !remove {
		value, err := pin.Encode()
		if err != nil {
			panic(err) // made here
		}
		op.Value = value
	}
	return op, write{remove: remove, saw: o.State.Vector(), step: p.step, happened: fmt.Sprintf("at %s, peer %d", time.Now().Format("15:04:05.000"), o.Number)}
}

// burst starts concurrent pins of different items and returns what waits for
// them and notes their answers.
func (p *player) burst(ctx context.Context, o *Peer, s Step) (wait func()) {
	var all sync.WaitGroup
	ops, writes := make([]crdtstate.Op, s.Count), make([]write, s.Count)
	state := o.State
	for i := range s.Count {
		ops[i], writes[i] = p.prepare(o, s.Key+i, false)
		all.Go(func() {
			r, err := state.Commit(ctx, ops[i])
			writes[i].receipt(r, err)
		})
	}
	return func() {
		all.Wait()
		for i := range ops {
			p.oracle.note(ops[i].Key, writes[i])
		}
	}
}

// finish heals everything, starts who is down, and checks.
func (p *player) finish(ctx context.Context) error {
	p.cables.Heal()
	members := 0
	for _, o := range p.peers {
		if o.Gone || (o.Seen == nil && o.Number > 0 && !o.Up()) {
			continue // removed, or never joined
		}
		members++
		if err := p.back(ctx, o); err != nil {
			return err
		}
	}
	for _, o := range p.peers {
		if a := o.authority(); a == nil || a.Is(o.Key.ID()) || !a.Ever(o.Key.ID()) {
			continue
		}
		for began := time.Now(); !p.heardOf(o); p.pause(time.Second) { // it left, and could tell nobody
			if time.Since(began) > p.limit {
				return fmt.Errorf("peer %d left and nobody heard of it", o.Number)
			}
		}
		o.Gone = true
		members--
		if err := o.Stop(); err != nil {
			return err
		}
	}
	if err := p.agreed(ctx, members); err != nil {
		return err
	}
	return p.check(ctx)
}

// back starts a peer that is down. Who was joining at a peer that is gone gets an
// invite of the founder's.
func (p *player) back(ctx context.Context, o *Peer) error {
	stranded := o.Number > 0 && (!o.Up() || !o.State.Authority().Is(o.Key.ID())) && slices.ContainsFunc(p.peers, func(g *Peer) bool {
		return (g.Gone || !g.Up()) && len(o.Seen) == 1 && o.Seen[0].ID == g.Key.ID()
	})
	if stranded {
		if err := o.Stop(); err != nil {
			return err
		}
		o.Seen = []peer.AddrInfo{p.peers[0].Info()}
	}
	if o.Up() {
		return nil
	}
	return o.Start(ctx)
}

// agreed waits until all who run are members, connected to one another, and have
// one digest.
func (p *player) agreed(ctx context.Context, members int) error {
	for began := time.Now(); ; p.pause(250 * time.Millisecond) {
		err := p.differ(members)
		if err == nil {
			p.club.Log.Info("agreed", "after", time.Since(began))
			return nil
		}
		if time.Since(began) > p.limit {
			return fmt.Errorf("no agreement after %v: %w", p.limit, err)
		}
	}
}

func (p *player) differ(members int) error {
	var first *Peer
	for _, o := range p.peers {
		if !o.Up() {
			continue
		}
		if first == nil {
			first = o
		}
		if n := len(o.State.Authority().Members()); n != members {
			return fmt.Errorf("peer %d knows %d members of %d", o.Number, n, members)
		}
		for _, s := range o.Net.Peers() {
			if !s.Connected {
				return fmt.Errorf("peer %d is not connected to %s: %s", o.Number, short(s.ID), s.Error)
			}
		}
		if a, b := first.State.Summary(), o.State.Summary(); a.Digest != b.Digest || a.Count != b.Count {
			return fmt.Errorf("peer %d has %v, peer %d has %v", first.Number, a, o.Number, b)
		}
	}
	return nil
}

// check looks at every peer's state by itself: against the oracle, against a
// replay of all its deltas, against the first peer's, and at its faults.
func (p *player) check(ctx context.Context) error {
	var first map[string][]byte
	var plan map[string]allocation.Placement
	for _, o := range p.peers {
		if !o.Up() {
			continue
		}
		twin, err := p.checkState(ctx, o)
		if err != nil {
			return fmt.Errorf("peer %d: %w", o.Number, err)
		}
		placed, err := allocate(ctx, o.State)
		if err != nil {
			return fmt.Errorf("peer %d: %w", o.Number, err)
		}
		maps.DeleteFunc(twin.values, func(key string, _ []byte) bool { return !strings.HasPrefix(key, pinset.PinPrefix) })
		if first == nil {
			first, plan = twin.values, placed
		}
		if diff := cmp.Diff(first, twin.values); diff != "" {
			return fmt.Errorf("peer %d differs: %s", o.Number, diff)
		}
		if diff := cmp.Diff(plan, placed); diff != "" {
			return fmt.Errorf("peer %d allocates differently: %s", o.Number, diff)
		}
	}
	return nil
}

func (p *player) checkState(ctx context.Context, o *Peer) (replayed, error) {
	have := make(map[string]bool)
	for pin, err := range o.State.Pins(ctx, "") {
		if err != nil {
			return replayed{}, err
		}
		have[pin.Key()] = true
	}
	if err := p.oracle.check(have); err != nil {
		return replayed{}, err
	}
	if o.State.Epoch() > 0 {
		return p.folded(ctx, o, have)
	}
	twin, err := replay(ctx, o.State)
	if err != nil {
		return twin, err
	}
	if n := o.State.Summary().Blocks; uint64(twin.blocks) != n {
		return twin, fmt.Errorf("%d deltas below the heads, %d in the log", twin.blocks, n)
	}
	pins := 0
	for key, want := range twin.values {
		got, err := o.State.Get(ctx, key)
		if err != nil || !bytes.Equal(got, want) {
			return twin, fmt.Errorf("%s: state has %q (%v), a replay has %q", key, got, err, want)
		}
		if _, _, err := pinset.ParseKey(key); err == nil {
			pins++
		}
	}
	if pins != len(have) {
		return twin, fmt.Errorf("%d pins in the state, %d in a replay", len(have), pins)
	}
	return twin, p.faultless(o)
}

// folded is checkState for a peer that has no deltas any more to replay.
func (p *player) folded(ctx context.Context, o *Peer, have map[string]bool) (replayed, error) {
	out := replayed{values: make(map[string][]byte)}
	for key := range have {
		value, err := o.State.Get(ctx, key)
		if err != nil {
			return out, err
		}
		out.values[key] = value
	}
	return out, p.faultless(o)
}

// faultless says what an honest run must not show. Late deltas of a member that
// was removed are refused, and rightly.
func (p *player) faultless(o *Peer) error {
	for _, e := range o.State.Health() {
		if !slices.ContainsFunc(p.peers, func(o *Peer) bool { return o.Gone && strings.Contains(e.Title+e.Detail, o.Key.ID().String()) }) {
			return fmt.Errorf("state health: %s: %s (%s)", e.Code, e.Title, e.Detail)
		}
	}
	for _, e := range o.Net.Health() {
		removed := slices.ContainsFunc(p.peers, func(o *Peer) bool { return o.Gone })
		switch {
		case e.Code == "slow-reader":
		case e.Code == "bad-deltas" && removed: // served by who did not know of the removal yet
		case e.Code == "strangers-refused" && removed: // knocked before it heard of its own removal
		default:
			return fmt.Errorf("network health: %s: %s (%s)", e.Code, e.Title, e.Detail)
		}
	}
	return nil
}

// allocate computes who holds each pin.
func allocate(ctx context.Context, s *crdtstate.State) (map[string]allocation.Placement, error) {
	var members []allocation.Member
	for _, r := range s.Authority().Members() {
		members = append(members, allocation.Member{ID: r.Peer, Cap: r.Lent >> 20, Phi: r.Phi, Domains: r.Domains, Tags: r.Tags, Incarnation: r.Incarnation})
	}
	view := allocation.NewView(members, allocation.Policy{Algo: allocation.Algorithm, FillDays: 30, Replication: pinset.Replication{Min: 2, Max: 3}})
	out := make(map[string]allocation.Placement)
	for pin, err := range s.Pins(ctx, "") {
		if err != nil {
			return nil, err
		}
		out[pin.Key()] = view.Allocate(allocation.Item{Hash: pin.CID.Hash(), Want: pin.Replication})
	}
	return out, nil
}
