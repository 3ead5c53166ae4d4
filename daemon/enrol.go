package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/identity"
)

// enrolment keeps this peer's member record in the replicated state equal to its
// configuration: the founder's makes the cluster, a joiner's makes it a member.
type enrolment struct {
	own  *own
	key  identity.Key
	peer *peerOf
	node *ipfsNode
	log  *slog.Logger
	mu   sync.Mutex // one record at a time

	caught chan struct{} // closed when the state is no part of a first synchronisation
	once   sync.Once
}

// nodeTime bounds the question who the IPFS node is.
const nodeTime = 5 * time.Second

// wanted is the record that should stand, and whether it may be written now. A
// peer that left or was removed by an admin does not come back by itself: only a
// new invite, which leaves the file "joining", makes it come back. Who was removed
// because it was absent does. Both in a new incarnation.
func (e *enrolment) wanted(ctx context.Context, joining bool) (identity.Record, bool) {
	a := e.peer.state.Authority()
	id := e.key.ID()
	have, member := a.Member(id)
	r := memberRecord(e.own.config(), e.key, e.peer.secret, e.peer.founding.ID(), have, have.IPFSPeer)
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	if node, err := e.node.Identity(ctx); err == nil {
		r.IPFSPeer = node.Peer
		if cluster := e.peer.founding.ID(); !r.ProvesNode(cluster) {
			r.IPFSProof, err = e.node.Sign(ctx, identity.NodeClaim(cluster, id))
			if err != nil {
				e.log.Debug("the IPFS node vouches for nobody", "err", err) // a secret may not allow it
			}
			if !r.ProvesNode(cluster) {
				r.IPFSProof = nil
			}
		}
	}
	r.Seq = a.NextSeq(id)
	r.SecretGen = a.SecretGeneration()
	if member {
		return r, !sameRecord(have, r)
	}
	r.Incarnation = a.NextIncarnation(id)
	if joining && e.peer.state.Summary().Count > 0 {
		r.Phi = allocation.StartPhi // there is something to fetch, piece by piece
	}
	return r, joining || a.MayReturn(id) || e.peer.founding.Founder() == id && !a.Ever(id)
}

// sameRecord compares what the configuration and the IPFS node decide.
func sameRecord(a, b identity.Record) bool {
	return a.Name == b.Name && a.Lent == b.Lent && a.InPerDay == b.InPerDay && a.IPFSPeer == b.IPFSPeer && a.Level == b.Level &&
		a.SecretGen == b.SecretGen && bytes.Equal(a.IPFSProof, b.IPFSProof) && slices.Equal(a.Domains, b.Domains) && slices.Equal(a.Tags, b.Tags)
}

func (e *enrolment) joining() bool {
	_, err := os.Stat(e.peer.dir.path("joining"))
	return err == nil
}

// now writes the record if it can and must be written.
func (e *enrolment) now(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		seq := e.peer.state.Authority().NextSeq(e.key.ID())
		err := e.write(ctx)
		if err == nil || ctx.Err() != nil || seq == e.peer.state.Authority().NextSeq(e.key.ID()) {
			return err
		}
		// Another record of this peer came in between: it drains, or mirrors.
	}
}

// write is one attempt. A peer that joins has all of the history first: that may
// have earlier deltas of its own, whose numbers it would use again, and its own
// removal. The file "joining" goes when it is a member, also when a crash came
// between.
func (e *enrolment) write(ctx context.Context) error {
	joining := e.joining()
	if joining && !e.caughtUp(ctx) {
		return nil
	}
	e.once.Do(func() { close(e.caught) })
	if r, write := e.wanted(ctx, joining); write {
		value, err := r.Seal(e.key, e.peer.founding.ID())
		if err != nil {
			return err
		}
		if _, err := e.peer.state.Commit(ctx, crdtstate.Op{Key: identity.MemberKey(r.Peer), Value: value}); err != nil {
			return err
		}
		e.log.Info("member record written", "seq", r.Seq)
	}
	if !joining || !e.peer.state.Authority().Is(e.key.ID()) {
		return nil
	}
	return os.Remove(e.peer.dir.path("joining"))
}

// caughtUp says whether everything is here that some member, heard since the
// start, had when it was heard.
func (e *enrolment) caughtUp(ctx context.Context) bool {
	if e.peer.network == nil {
		return false // at the start
	}
	for _, p := range e.peer.network.Peers() {
		known := len(p.Heads) > 0
		for _, h := range p.Heads {
			ok, err := e.peer.state.Known(ctx, h)
			known = known && ok && err == nil
		}
		if known {
			return true
		}
	}
	return false
}

// candidate is the record that a peer shows to those who do not know it yet: all
// when it joins, and those who have not heard of that when it is a member. Who was
// removed has none.
func (e *enrolment) candidate() ([]byte, error) {
	a := e.peer.state.Authority()
	if id := e.key.ID(); a.Ever(id) && !a.Is(id) && !e.joining() {
		return nil, nil
	}
	return knock(e.own.config(), e.key, e.peer.secret, e.peer.founding.ID())
}

// The record is compared this often when nothing else asks for it: an IPFS node
// that was away is known by then, and a joining peer may have caught up.
const (
	enrolEvery = 20 * time.Second
	joinEvery  = 200 * time.Millisecond
)

// Run writes the record as soon as the first synchronisation allows it, and again
// whenever it should differ. What keeps it from being written (a full disk, a
// removal) may pass, so it is tried again; cluster's health says "no-member".
func (e *enrolment) Run(ctx context.Context) error {
	feed := e.peer.state.Subscribe()
	defer feed.Close()
	for {
		every := enrolEvery
		if err := e.now(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("member record not written; tried again", "err", err)
		} else if e.joining() {
			every = joinEvery
		}
		wait, cancel := context.WithTimeout(ctx, every)
		for {
			ch, err := feed.Next(wait)
			if err != nil || ch.Authority || ch.Rescan {
				break
			}
		}
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
}
