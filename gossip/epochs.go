package gossip

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

// maxUnsent is how many signed records wait to be published; more are exchanged.
const maxUnsent = 16

// ShareSigned tells the others of a seal or an acknowledgement of this peer's. It
// never waits.
func (n *Network) ShareSigned(raw []byte) {
	n.outbox.mu.Lock()
	if len(n.outbox.signed) < maxUnsent {
		n.outbox.signed = append(n.outbox.signed, raw)
	}
	n.outbox.mu.Unlock()
	signal(n.outbox.wake)
}

// epochGreeting adds to a greeting what it says of epochs.
func (n *Network) epochGreeting(g *wire.Greeting) {
	if n.deps.Epochs != nil {
		g.Epoch, g.Signed = n.deps.Epochs.Epoch(), n.deps.Epochs.SignedDigest()
	}
}

// unlike says whether somebody with this greeting has other signed records than this
// peer.
func (n *Network) unlike(g *wire.Greeting) bool {
	return n.deps.Epochs != nil && !bytes.Equal(g.Signed, n.deps.Epochs.SignedDigest())
}

// signedFor returns all signed records for who has others.
func (n *Network) signedFor(digest []byte) [][]byte {
	if n.deps.Epochs == nil || bytes.Equal(digest, n.deps.Epochs.SignedDigest()) {
		return nil
	}
	all := slices.Clone(n.deps.Epochs.Signed())
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	total := 0
	for i, r := range all {
		if total += len(r) + 4; total > wire.MaxAllSigned {
			return all[:i] // others at the next exchange
		}
	}
	return all
}

// signedTold returns what p is told unasked: it had other records when it was last
// heard.
func (n *Network) signedTold(p peer.ID) [][]byte {
	var digest []byte
	n.book.with(p, func(r *remote) { digest = r.signed })
	return n.signedFor(digest)
}

// acceptSigned hands signed records on. One that is bad counts against who sent it.
func (n *Network) acceptSigned(ctx context.Context, from peer.ID, records [][]byte) {
	if n.deps.Epochs == nil {
		return
	}
	for _, raw := range records {
		if _, err := n.deps.Epochs.AcceptSigned(ctx, raw); err != nil && ctx.Err() == nil {
			n.faults.count(faultForm, from.String())
			return
		}
	}
}

// follow takes over the genesis of a member that is epochs ahead, when this peer
// lacks what was folded. It says whether it did.
func (n *Network) follow(ctx context.Context, p peer.ID, number uint64) (bool, error) {
	if n.deps.Geneses == nil || !n.deps.Geneses.Behind(number) || !n.following.TryLock() {
		return false, nil
	}
	defer n.following.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := n.open(ctx, p, syncProtocol)
	if err != nil {
		return false, err
	}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	root, have := n.deps.Geneses.Adopting()
	br := bufio.NewReaderSize(s, 64<<10)
	a, err := n.ask(s, br, wire.Request{Greeting: n.greeting(false), Genesis: &wire.Genesis{Root: root, Have: uint64(have)}})
	if err != nil {
		return false, err
	}
	n.acceptSigned(ctx, p, a.Signed)
	r, release, err := n.codecs.Reader(br)
	if err != nil {
		return false, err
	}
	defer release()
	progress := Progress{Since: time.Now()}
	n.book.with(p, func(r *remote) { r.progress = &progress })
	defer n.book.with(p, func(r *remote) { r.progress = nil })
	err = n.deps.Geneses.Adopt(ctx, func() ([]byte, error) {
		raw, err := r.Next()
		if err != nil {
			return nil, err
		}
		n.book.with(p, func(*remote) { progress.Bytes += uint64(len(raw)) })
		return raw[1:], nil
	})
	if r.Err() != nil {
		n.misform(p, r.Err())
		return false, fmt.Errorf("take genesis of %s over: %w", p, r.Err())
	}
	if err != nil && ctx.Err() == nil && n.deps.refused(err) {
		n.faults.count(faultSync, p.String())
	}
	if err == nil {
		n.spread()
	}
	return err == nil, err
}

// sendGenesis streams the genesis in force. Each piece has a byte before it: it may
// be empty.
func (n *Network) sendGenesis(ctx context.Context, s wire.Timed, g *wire.Genesis) error {
	w, release, err := n.codecs.Writer(s)
	if err != nil {
		return err
	}
	defer release()
	verdict := byte(wire.VerdictDone)
	if n.deps.Geneses == nil {
		verdict, err = wire.VerdictFailed, errors.New("no genesis here")
	} else if err = n.deps.Geneses.Genesis(ctx, g.Root, int(g.Have), func(raw []byte) error {
		return w.Write(append([]byte{0}, raw...))
	}); err != nil {
		verdict = wire.VerdictFailed
	}
	if isTimeout(err) {
		n.faults.count(faultSlow, s.Conn().RemotePeer().String())
		return err
	}
	return errors.Join(err, w.End(verdict))
}
