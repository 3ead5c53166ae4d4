package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

const syncProtocol protocol.ID = "/pinfold/sync/1"

const (
	servedAtOnce = 16               // transfers to others
	servedToOne  = 2                // of them to one peer
	exchangeTime = time.Minute      // for an exchange without transfer
	openTime     = 15 * time.Second // for opening a stream
)

var errBehind = errors.New("it is in a later epoch")

var errRefused = errors.New("refused by the peer")

// gate bounds how much is done at once, in all and for one peer.
type gate struct {
	all, one int

	mu    sync.Mutex
	total int
	by    map[peer.ID]int
}

func newGate(all, one int) *gate { return &gate{all: all, one: one, by: make(map[peer.ID]int)} }

func (g *gate) enter(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.all || g.by[p] >= g.one {
		return false
	}
	g.total++
	g.by[p]++
	return true
}

func (g *gate) leave(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.by[p]--; g.by[p] == 0 {
		delete(g.by, p)
	}
}

// open opens a stream whose reads and writes each have a deadline.
func (n *Network) open(ctx context.Context, p peer.ID, proto protocol.ID) (wire.Timed, error) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "members are dialled by the book"), openTime)
	defer cancel()
	s, err := n.host.NewStream(ctx, p, proto)
	if err != nil {
		return wire.Timed{}, fmt.Errorf("open %s to %s: %w", proto, p, err)
	}
	return wire.Timed{Stream: s, Limit: n.patience}, nil
}

// greeting says what this peer knows now.
func (n *Network) greeting(withAddrs bool) wire.Greeting {
	s := n.deps.Summary()
	g := wire.Greeting{
		Number: n.number(), Heads: wire.CIDBytes(s.Heads[:min(len(s.Heads), wire.MaxHeads)]),
		Count: s.Count, Digest: s.Digest[:], Height: s.Height, Blocks: s.Blocks,
	}
	if n.deps.Records != nil {
		g.Seq = n.deps.Records.Seqs()[n.ID()]
	}
	n.epochGreeting(&g)
	if withAddrs {
		g.Addrs = n.envelope(n.ID())
	}
	return g
}

// met takes in what another peer said of itself at an exchange.
func (n *Network) met(p peer.ID, g *wire.Greeting) {
	n.book.heard(p, g)
	n.book.with(p, func(r *remote) { r.greeted = time.Now() })
	n.learn(g.Addrs)
	if heads, err := wire.ParseCIDs(g.Heads, wire.MaxHeads); err == nil {
		n.fetcher.hint(heads, false, p)
	}
}

// exchange tells p the heads and statements of this peer and takes in p's.
func (n *Network) exchange(ctx context.Context, p peer.ID, withBook bool) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	s, err := n.open(ctx, p, syncProtocol)
	if err != nil {
		return err
	}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	req := wire.Request{Greeting: n.greeting(true), Talk: true, Book: withBook}
	if n.deps.Records != nil {
		req.Seqs = wire.SeqsOf(n.deps.Records.Seqs())
	}
	req.Signed = n.signedTold(p)
	a, err := n.ask(s, bufio.NewReader(s), req)
	if err != nil {
		return err
	}
	n.met(p, &a.Greeting)
	for _, env := range a.Book {
		n.learn(env)
	}
	n.acceptSigned(ctx, p, a.Signed)
	if _, err := n.follow(ctx, p, a.Greeting.Epoch); err != nil {
		return err
	}
	return n.accept(ctx, p, a.Statements)
}

// ask sends the request that opens a sync stream and reads the answer.
func (n *Network) ask(s wire.Timed, r *bufio.Reader, req wire.Request) (*wire.Answer, error) {
	if err := wire.WriteMessage(s, req); err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	if err := s.CloseWrite(); err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	a, err := wire.ReadMessage[wire.Answer](r, wire.MaxAnswer)
	if err != nil {
		n.misform(s.Conn().RemotePeer(), err)
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if a.Refused != "" {
		return nil, fmt.Errorf("%w: %s", errRefused, a.Refused)
	}
	return a, nil
}

// misform counts a message that is not of the protocol's form.
func (n *Network) misform(p peer.ID, err error) {
	if errors.Is(err, wire.ErrForm) || errors.Is(err, wire.ErrTooLarge) {
		n.faults.count(faultForm, p.String())
	}
}

// accept hands statements to who keeps them.
func (n *Network) accept(ctx context.Context, from peer.ID, statements [][]byte) error {
	if n.deps.Records == nil {
		return nil
	}
	for _, raw := range statements {
		if len(raw) > wire.MaxStatement {
			n.faults.count(faultForm, from.String())
			return wire.ErrTooLarge
		}
		if _, err := n.deps.Records.Accept(ctx, raw); err != nil {
			n.faults.count(faultForm, from.String())
			return fmt.Errorf("accept statement from %s: %w", from, err)
		}
	}
	return nil
}

// fetch gets the closure of heads from p. What arrived before an error stays.
func (n *Network) fetch(ctx context.Context, p peer.ID, heads []cid.Cid) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := n.open(ctx, p, syncProtocol)
	if err != nil {
		return err
	}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	have, err := n.deps.Blocks.Haves(ctx)
	if err != nil {
		return fmt.Errorf("list deltas: %w", err)
	}
	br := bufio.NewReaderSize(s, 64<<10)
	a, err := n.ask(s, br, wire.Request{Greeting: n.greeting(false), Want: wire.CIDBytes(heads), Have: wire.CIDBytes(have[:min(len(have), wire.MaxCIDs)])})
	if err != nil {
		return err
	}
	n.book.heard(p, &a.Greeting)
	n.acceptSigned(ctx, p, a.Signed)
	if n.deps.Geneses != nil && n.deps.Geneses.Behind(a.Greeting.Epoch) {
		_, err := n.follow(ctx, p, a.Greeting.Epoch)
		return errors.Join(errBehind, err) // with it these heads may be had
	}
	r, release, err := n.codecs.Reader(br)
	if err != nil {
		return err
	}
	defer release()
	return n.take(ctx, p, transfer{heads: heads, blocks: a.Greeting.Blocks, r: r})
}

// transfer is a stream of deltas that is being received.
type transfer struct {
	heads  []cid.Cid
	blocks uint64 // in the sender's log
	r      *wire.BlockReader
}

// take admits what a transfer brings and keeps its progress.
func (n *Network) take(ctx context.Context, p peer.ID, t transfer) error {
	progress := Progress{Since: time.Now(), Total: t.blocks - min(t.blocks, n.deps.Summary().Blocks)}
	n.book.with(p, func(r *remote) { r.progress = &progress })
	defer n.book.with(p, func(r *remote) { r.progress = nil })
	next := func() ([]byte, error) {
		raw, err := t.r.Next()
		if err != nil {
			return nil, err
		}
		n.book.with(p, func(*remote) { progress.Blocks++; progress.Bytes += uint64(len(raw)) })
		return raw, nil
	}
	_, err := n.deps.Blocks.Receive(ctx, t.heads, next)
	switch {
	case t.r.Err() != nil:
		n.misform(p, t.r.Err())
		return fmt.Errorf("receive from %s: %w", p, t.r.Err())
	case err != nil:
		if ctx.Err() == nil && n.deps.refused(err) {
			n.faults.count(faultSync, p.String())
		}
		return fmt.Errorf("admit deltas of %s: %w", p, err)
	case t.r.Verdict() == wire.VerdictFailed:
		return fmt.Errorf("receive from %s: %w", p, wire.ErrCutOff)
	}
	return nil
}

// serveSync answers /pinfold/sync/1.
func (n *Network) serveSync(ctx context.Context, s wire.Timed) error {
	p := s.Conn().RemotePeer()
	if n.gater.standing(p) < candidate {
		return errNoStanding
	}
	req, err := wire.ReadMessage[wire.Request](bufio.NewReader(s), wire.MaxRequest)
	if err != nil {
		n.misform(p, err)
		return fmt.Errorf("read request: %w", err)
	}
	if len(req.Want) > 0 || req.Genesis != nil {
		if !n.serving.enter(p) {
			return wire.WriteMessage(s, wire.Answer{Refused: "busy"})
		}
		defer n.serving.leave(p)
	}
	if req.Talk {
		n.met(p, &req.Greeting)
	} else {
		n.book.heard(p, &req.Greeting)
	}
	n.acceptSigned(ctx, p, req.Signed)
	if err := wire.WriteMessage(s, n.answerTo(req)); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	if req.Genesis != nil {
		return n.sendGenesis(ctx, s, req.Genesis)
	}
	if len(req.Want) > 0 {
		return n.send(ctx, s, req)
	}
	if req.Talk && n.behind(req.Seqs) {
		n.talk(p) // it has statements that are newer: now it is our turn to ask
	}
	return nil
}

func (n *Network) answerTo(req *wire.Request) wire.Answer {
	a := wire.Answer{Greeting: n.greeting(req.Talk), Signed: n.signedFor(req.Greeting.Signed)}
	if req.Book {
		a.Book = n.envelopes()
	}
	if req.Talk && n.deps.Records != nil {
		a.Statements = n.newer(req.Seqs)
	}
	return a
}

// newer returns the statements that somebody with these seqs has not got.
func (n *Network) newer(seqs []wire.Seq) [][]byte {
	has := make(map[peer.ID]uint64, len(seqs))
	for _, s := range seqs {
		has[peer.ID(s.Peer)] = s.Seq
	}
	var out [][]byte
	total := 0
	for p, mine := range n.deps.Records.Seqs() {
		if mine <= has[p] {
			continue
		}
		raw := n.deps.Records.Record(p)
		if total += len(raw); len(raw) == 0 || len(raw) > wire.MaxStatement {
			continue
		}
		if total > wire.MaxStatements {
			break // the rest at the next exchange
		}
		out = append(out, raw)
	}
	return out
}

// behind says whether somebody with these seqs has a newer statement.
func (n *Network) behind(seqs []wire.Seq) bool {
	if n.deps.Records == nil {
		return false
	}
	mine := n.deps.Records.Seqs()
	authority := n.deps.Authority()
	for _, s := range seqs {
		if s.Seq > mine[peer.ID(s.Peer)] && authority.Is(peer.ID(s.Peer)) {
			return true
		}
	}
	return false
}

// send streams what a request wants.
func (n *Network) send(ctx context.Context, s wire.Timed, req *wire.Request) error {
	want, err := wire.ParseCIDs(req.Want, wire.MaxHeads)
	if err != nil {
		return err
	}
	have, err := wire.ParseCIDs(req.Have, wire.MaxCIDs)
	if err != nil {
		return err
	}
	verdict := byte(wire.VerdictDone)
	known := want[:0]
	for _, c := range want {
		if ok, err := n.deps.Blocks.Known(ctx, c); err == nil && ok {
			known = append(known, c)
		} else {
			verdict = wire.VerdictPartial
		}
	}
	w, release, err := n.codecs.Writer(s)
	if err != nil {
		return err
	}
	defer release()
	if len(known) > 0 {
		err = n.deps.Blocks.Send(ctx, known, have, func(raw []byte) error {
			n.sent.Add(1)
			return w.Write(raw)
		})
	}
	if isTimeout(err) {
		n.faults.count(faultSlow, s.Conn().RemotePeer().String())
		return err
	}
	if err != nil {
		verdict = wire.VerdictFailed
	}
	return errors.Join(err, w.End(verdict))
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// counter is a number that only rises, also over restarts: it starts at the
// clock's microseconds.
type counter struct{ last atomic.Uint64 }

func (c *counter) next() uint64 {
	for {
		last := c.last.Load()
		now := max(last+1, uint64(time.Now().UnixMicro()))
		if c.last.CompareAndSwap(last, now) {
			return now
		}
	}
}
