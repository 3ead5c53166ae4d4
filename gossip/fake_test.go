package gossip

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
)

// fakeLog is a log of made-up deltas that keeps the promises of Blocks: a delta
// is admitted when its parents are.
type fakeLog struct {
	mu       sync.Mutex
	raw      map[cid.Cid][]byte
	order    []cid.Cid
	heads    map[cid.Cid]bool
	received int // deltas offered, admitted or not
	onAdmit  func(n int)
	lie      func([]byte) []byte // what Send serves instead
	key      identity.Key
}

type fakeDelta struct {
	Parents [][]byte `cbor:"p"`
	Data    []byte   `cbor:"d"`
}

func newFakeLog(k identity.Key) *fakeLog {
	return &fakeLog{raw: make(map[cid.Cid][]byte), heads: make(map[cid.Cid]bool), key: k}
}

func cidOf(raw []byte) cid.Cid {
	sum, _ := multihash.Sum(raw, multihash.SHA2_256, -1)
	return cid.NewCidV1(cid.DagProtobuf, sum)
}

func (l *fakeLog) write(data []byte) (cid.Cid, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := fakeDelta{Data: data}
	for _, h := range l.sorted() {
		d.Parents = append(d.Parents, h.Bytes())
	}
	raw, _ := canon.Marshal(d)
	c, err := l.admit(raw)
	if err != nil {
		panic(err)
	}
	return c, raw
}

func (l *fakeLog) sorted() []cid.Cid {
	var out []cid.Cid
	for h := range l.heads {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b cid.Cid) int { return slices.Compare(a.Bytes(), b.Bytes()) })
	return out
}

func (l *fakeLog) admit(raw []byte) (cid.Cid, error) {
	l.received++
	c := cidOf(raw)
	if _, ok := l.raw[c]; ok {
		return c, nil
	}
	var d fakeDelta
	if err := canon.Check(raw); err != nil {
		return c, err
	}
	if err := canon.Unmarshal(raw, &d); err != nil {
		return c, err
	}
	var parents []cid.Cid
	for _, p := range d.Parents {
		pc, err := cid.Cast(p)
		if err != nil {
			return c, err
		}
		if _, ok := l.raw[pc]; !ok {
			return c, errors.New("parent unknown")
		}
		parents = append(parents, pc)
	}
	for _, p := range parents {
		delete(l.heads, p)
	}
	l.raw[c], l.heads[c] = raw, true
	l.order = append(l.order, c)
	return c, nil
}

func (l *fakeLog) Known(_ context.Context, c cid.Cid) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.raw[c]
	return ok, nil
}

func (l *fakeLog) Haves(context.Context) ([]cid.Cid, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.sorted()
	for d := 1; d <= len(l.order); d *= 2 {
		out = append(out, l.order[len(l.order)-d])
	}
	return out, nil
}

func (l *fakeLog) Send(_ context.Context, want, have []cid.Cid, yield func([]byte) error) error {
	l.mu.Lock()
	skip := make(map[cid.Cid]bool)
	l.mark(have, skip)
	need := make(map[cid.Cid]bool)
	l.mark(want, need)
	var out [][]byte
	for _, c := range l.order {
		if need[c] && !skip[c] {
			out = append(out, l.raw[c])
		}
	}
	lie := l.lie
	l.mu.Unlock()
	for _, raw := range out {
		if lie != nil {
			raw = lie(raw)
		}
		if err := yield(raw); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLog) mark(from []cid.Cid, seen map[cid.Cid]bool) {
	for _, c := range from {
		raw, ok := l.raw[c]
		if !ok || seen[c] {
			continue
		}
		seen[c] = true
		var d fakeDelta
		_ = canon.Unmarshal(raw, &d)
		for _, p := range d.Parents {
			pc, _ := cid.Cast(p)
			l.mark([]cid.Cid{pc}, seen)
		}
	}
}

func (l *fakeLog) Receive(_ context.Context, heads []cid.Cid, next func() ([]byte, error)) (int, error) {
	n := 0
	for {
		raw, err := next()
		if err != nil {
			if err.Error() == "EOF" {
				return n, nil
			}
			return n, err
		}
		l.mu.Lock()
		before := len(l.order)
		_, err = l.admit(raw)
		n += len(l.order) - before
		hook := l.onAdmit
		l.mu.Unlock()
		if err != nil {
			return n, err
		}
		if hook != nil {
			hook(n)
		}
	}
}

func (l *fakeLog) summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{Heads: l.sorted(), Count: uint64(len(l.order)), Blocks: uint64(len(l.order))}
	for c := range l.raw {
		sum := sha256.Sum256(c.Bytes())
		for i := range sum {
			s.Digest[i] ^= sum[i]
		}
	}
	return s
}

func (l *fakeLog) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// fakeRecords keeps statements: 8 bytes of seq, the author, anything.
type fakeRecords struct {
	mu sync.Mutex
	by map[peer.ID][]byte
}

func statementOf(p peer.ID, seq uint64, size int) []byte {
	b := binary.BigEndian.AppendUint64(nil, seq)
	b = append(append(b, byte(len(p))), p...)
	return append(b, make([]byte, size)...)
}

func (r *fakeRecords) Seqs() map[peer.ID]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[peer.ID]uint64)
	for p, raw := range r.by {
		out[p] = binary.BigEndian.Uint64(raw)
	}
	return out
}

func (r *fakeRecords) Record(p peer.ID) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by[p]
}

func (r *fakeRecords) Accept(_ context.Context, raw []byte) (bool, error) {
	if len(raw) < 9 || len(raw) < 9+int(raw[8]) {
		return false, errors.New("short")
	}
	p := peer.ID(raw[9 : 9+raw[8]])
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.by[p]; old != nil && binary.BigEndian.Uint64(old) >= binary.BigEndian.Uint64(raw) {
		return false, nil
	}
	r.by[p] = raw
	return true, nil
}

// club is a cluster for tests: who is a member is told to all at once.
type club struct {
	t        testing.TB
	secret   identity.Secret
	founding *identity.Founding
	keys     []identity.Key

	mu        sync.Mutex
	authority *identity.Authority
	seq       uint64
}

func newClub(t testing.TB, members int) *club {
	t.Helper()
	c := &club{t: t}
	for range members {
		c.keys = append(c.keys, c.key())
	}
	var err error
	if c.secret, err = identity.NewSecret(); err != nil {
		t.Fatal(err)
	}
	if c.founding, err = identity.Found(c.keys[0], "club", c.secret, identity.DefaultPolicy(), time.Now()); err != nil {
		t.Fatal(err)
	}
	c.authority = identity.NewAuthority(c.founding, c.secret)
	for _, k := range c.keys {
		c.enrol(k)
	}
	return c
}

func (c *club) key() identity.Key {
	k, err := identity.NewKey()
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

func (c *club) record(k identity.Key) []byte { return c.recordAt(k, 1) }

// showable is a record for the door only, above any that the state has.
func (c *club) showable(k identity.Key) []byte { return c.recordAt(k, identity.LastIncarnation-1) }

func (c *club) recordAt(k identity.Key, seq uint64) []byte {
	raw, err := identity.Record{Peer: k.ID(), Name: "m", Proof: c.secret.Proof(c.founding.ID(), k.ID()), Seq: seq, Level: identity.OwnLevel, Phi: identity.FullPhi}.Seal(k, c.founding.ID())
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

func (c *club) enrol(k identity.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.authority = c.authority.With(identity.Entry{Author: k.ID(), Seq: c.seq, Priority: c.seq, Key: identity.MemberKey(k.ID()), Value: c.record(k)})
}

func (c *club) remove(gone peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	founder := c.keys[0].ID()
	e, err := c.authority.Removal(gone, founder)
	if err != nil {
		c.t.Fatal(err)
	}
	c.seq++
	c.authority = c.authority.With(identity.Entry{Author: founder, Seq: c.seq, Priority: c.seq, Key: e.Key, Value: e.Value})
}

func (c *club) Authority() *identity.Authority {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.authority
}

// player is a member with its network running.
type player struct {
	*Network
	log     *fakeLog
	records *fakeRecords
	stop    func()
}

func (c *club) config(k identity.Key) Config {
	cfg := Config{
		Key: k, Secret: c.secret, Founding: c.founding, Heartbeat: 2 * time.Second,
		Listen: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0")},
	}
	if os.Getenv("GOSSIP_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("me", k.ID().String()[44:])
	}
	return cfg
}

// play starts a network; tune may change its configuration and dependencies.
func (c *club) play(k identity.Key, tune func(*Config, *Deps)) *player {
	c.t.Helper()
	p := &player{log: newFakeLog(k), records: &fakeRecords{by: make(map[peer.ID][]byte)}}
	cfg, deps := c.config(k), Deps{Blocks: p.log, Summary: p.log.summary, Authority: c.Authority, Records: p.records}
	if tune != nil {
		tune(&cfg, &deps)
	}
	n, err := New(cfg, deps)
	if err != nil {
		c.t.Fatal(err)
	}
	p.Network = n
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				c.t.Errorf("Run: %v", err)
			}
		})
	}
	c.t.Cleanup(p.stop)
	return p
}

func (p *player) info() peer.AddrInfo { return peer.AddrInfo{ID: p.ID(), Addrs: p.Addrs()} }

func bootstrap(ps ...*player) func(*Config, *Deps) {
	return func(c *Config, _ *Deps) {
		for _, p := range ps {
			c.Bootstrap = append(c.Bootstrap, p.info())
		}
	}
}

// eventually polls, since what it waits for happens in the network.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in 20 s: %s", what)
		case <-tick.C:
		}
	}
}

func agree(t testing.TB, ps ...*player) {
	t.Helper()
	eventually(t, "all have the same deltas", func() bool {
		for _, p := range ps[1:] {
			if p.log.summary().Digest != ps[0].log.summary().Digest {
				return false
			}
		}
		return true
	})
}

func linked(t testing.TB, ps ...*player) {
	t.Helper()
	eventually(t, "all are connected", func() bool {
		for _, p := range ps {
			for _, s := range p.Peers() {
				if !s.Connected && slices.ContainsFunc(ps, func(o *player) bool { return o.ID() == s.ID }) {
					return false
				}
			}
		}
		return true
	})
}

var _ = fmt.Sprint

// counted returns how often k happened.
func (f *faults) counted(k faultKind) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kinds[k].count
}

// missing returns how many heads are being looked for.
func (f *fetcher) missing() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.want)
}
