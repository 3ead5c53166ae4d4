package crdtstate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/compaction"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// adoption is a genesis that arrives from others.
type adoption struct {
	genesis *compaction.Genesis
	db      kv.DB
	stage   *epoch.Stage
}

// Genesis yields the root of the genesis in force here, and its pieces: all, or from a
// number on for who has those before of the very root. Errors: KindNotFound in the
// first epoch.
func (s *State) Genesis(ctx context.Context, root []byte, have int, yield func(raw []byte) error) error {
	number := uint64(0)
	for n := -1; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var raw []byte
		last := false
		err := s.read(func(e *epoch.Epoch) (err error) {
			b := e.Reader().Base()
			switch {
			case b == nil:
				return pinset.NotFound("genesis: this cluster is in its first epoch here")
			case n >= 0 && s.number != number:
				return errMoved
			case n < 0:
				raw, number = b.Raw, s.number
				if have < 0 || !bytes.Equal(root, b.Hash()) {
					have = 0
				}
			case n < b.Pieces():
				raw, err = e.Reader().Piece(n)
			default:
				last = true
			}
			return err
		})
		if err != nil || last {
			return err
		}
		if err := yield(raw); err != nil {
			return err
		}
		n = max(n+1, have)
	}
}

// Behind says whether this peer needs the genesis of an epoch that another one is
// in: it will not compute it itself, since it acknowledged none.
func (s *State) Behind(number uint64) bool {
	here := s.Epoch()
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	return number > here+1 || number == here+1 && s.closing.cut == nil
}

// Adopting says what has arrived of a genesis that was cut off: its root's hash and
// the number of pieces. Nil: nothing.
func (s *State) Adopting() (root []byte, pieces int) {
	s.stageM.Lock()
	defer s.stageM.Unlock()
	if s.adoption == nil {
		return nil, 0
	}
	return s.adoption.genesis.Hash(), s.adoption.stage.Len()
}

// Adopt takes the genesis of a later epoch over, for who lacks what the others have
// folded. next returns its root, then the pieces that Adopting did not count, then
// io.EOF. What is in the log here and not in the genesis is carried over; what cannot
// be, is signed anew. What arrived before an error stays for the next call.
//
// Errors: KindConflict if it is not later than what is here, ErrRefused for what is
// not a genesis, or one that not more than half of the other members acknowledged.
func (s *State) Adopt(ctx context.Context, next func() ([]byte, error)) error {
	raw, err := next()
	if err != nil {
		return fmt.Errorf("take genesis over: %w", err)
	}
	g, err := compaction.OpenRoot(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	s.stageM.Lock()
	defer s.stageM.Unlock()
	if g.Epoch <= s.Epoch() {
		return pinset.Errorf(pinset.KindConflict, "take genesis over: of epoch %d, epoch %d is in force here", g.Epoch, s.Epoch())
	}
	if auth := s.Authority(); len(auth.Members()) > 0 && !s.vouched(g, auth) && !s.ruled(g, auth) {
		return fmt.Errorf("take genesis %s over: %w: not more than half of the other members acknowledged it, and no admin", g.CID(), ErrRefused)
	}
	if err := s.receiveGenesis(ctx, g, next); err != nil {
		return err
	}
	st, err := s.installAdopted(ctx)
	if err != nil {
		return err
	}
	s.closing.staged = st
	err = s.carry(ctx, st)
	if err == nil {
		err = s.enter(ctx, st)
	}
	if err != nil {
		s.unstage()
		return err
	}
	return nil
}

// vouched says whether more than half of the other members acknowledged a genesis.
func (s *State) vouched(g *compaction.Genesis, auth *identity.Authority) bool {
	var others []peer.ID
	for _, m := range auth.Members() {
		if m.Peer != s.self {
			others = append(others, m.Peer)
		}
	}
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	return compaction.Vouched(&s.closing.book, others, g.Epoch, [32]byte(g.Hash()))
}

// ruled says whether an admin acknowledged a genesis: that one may have removed all
// others.
func (s *State) ruled(g *compaction.Genesis, auth *identity.Authority) bool {
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	for _, m := range auth.Members() {
		if auth.Role(m.Peer) == identity.RoleAdmin && compaction.Vouched(&s.closing.book, []peer.ID{m.Peer}, g.Epoch, [32]byte(g.Hash())) {
			return true
		}
	}
	return false
}

// receiveGenesis stages the pieces that are missing.
func (s *State) receiveGenesis(ctx context.Context, g *compaction.Genesis, next func() ([]byte, error)) error {
	if a := s.adoption; a != nil && a.genesis.CID() != g.CID() {
		s.dropAdoption()
	}
	if s.adoption == nil {
		s.unstage()
		db, err := s.out.disk.Open(g.Epoch)
		if err != nil {
			return err
		}
		stage, err := epoch.NewStage(db)
		if err != nil {
			return errors.Join(err, db.Close())
		}
		s.adoption = &adoption{g, db, stage}
	}
	a := s.adoption
	for a.stage.Len() < g.Pieces() {
		raw, err := next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("take genesis over: %d of %d pieces: %w", a.stage.Len(), g.Pieces(), err)
		}
		if free, err := s.out.free(); err == nil && free < s.cfg.Reserve {
			return diskFull(free, s.cfg.Reserve)
		}
		if err := g.CheckPiece(a.stage.Len(), raw); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if err := a.stage.Put(a.stage.Len() < len(g.Counts), raw); err != nil {
			s.dropAdoption()
			return err
		}
	}
	return nil
}

// dropAdoption forgets a genesis that arrived in part.
func (s *State) dropAdoption() {
	a := s.adoption
	if a == nil {
		return
	}
	s.adoption = nil
	if err := errors.Join(a.db.Close(), s.out.disk.Clean(s.Epoch())); err != nil {
		s.log.Warn("remove an epoch that did not begin", "epoch", a.genesis.Epoch, "err", err)
	}
}

// installAdopted makes a staged epoch of a genesis that is here whole.
func (s *State) installAdopted(ctx context.Context) (*staged, error) {
	a := s.adoption
	if err := a.stage.Install(ctx, a.genesis); err != nil {
		s.dropAdoption()
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	e, err := epoch.Open(ctx, a.db, history, identity.NewAuthority(s.cfg.Founding, s.cfg.Secret))
	if err != nil {
		s.dropAdoption()
		return nil, err
	}
	s.adoption = nil
	st := &staged{number: a.genesis.Epoch, epoch: e, root: [32]byte(a.genesis.Hash()), adopted: true, gap: a.genesis.Epoch - s.Epoch()}
	if len(s.Authority().Members()) > 0 {
		return st, nil
	}
	// A newcomer knows no members yet: those of the genesis must have acknowledged it.
	auth, err := e.Authority()
	if err == nil && !s.vouched(a.genesis, auth) && !s.ruled(a.genesis, auth) {
		err = fmt.Errorf("take genesis %s over: %w: not more than half of its members acknowledged it, and no admin", a.genesis.CID(), ErrRefused)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close(), s.out.disk.Clean(s.Epoch()))
	}
	return st, nil
}

// homeless decides about a block of the epoch before that has no place in the next
// one: whether what it says is signed anew.
func (s *State) homeless(st *staged, in gate.Inspected, below bool) bool {
	if below && st.gap > 1 {
		return false // folded long ago, as far as can be told
	}
	// Others sign their own anew; of who may never come back what is here is all.
	return in.Author == s.self || st.adopted && !below
}

// writePending signs anew what waits for it, if this peer may. It is called with
// write held.
func (s *State) writePending(ctx context.Context) error {
	for s.unsigned && s.epoch != nil && s.down == nil {
		d, number, err := s.epoch.Pending()
		if err != nil {
			return err
		}
		if s.unsigned = d != nil; d == nil {
			return nil
		}
		auth := s.Authority()
		if !s.permitted(auth, d) {
			if !auth.Is(s.self) {
				return nil // when it is a member again
			}
			s.log.Warn("a change made before the epoch began is not this peer's to make any more", "changes", len(d.Elements)+len(d.Tombstones))
		} else if err := s.ready(ctx); err != nil {
			return err
		} else if b, err := s.writeDelta(ctx, d); err != nil {
			return err
		} else {
			s.announce(Announcement{b.CID, b.Raw})
		}
		if err := s.epoch.Done(number); err != nil {
			return s.broke(err)
		}
	}
	return nil
}

// permitted drops from a delta what this peer may not write, and says whether
// anything is left.
func (s *State) permitted(auth *identity.Authority, d *pb.Delta) bool {
	kept := d.Elements[:0]
	for _, el := range d.Elements {
		if identity.IsControl(el.Key) && auth.Check(s.self, []identity.Element{{Key: el.Key, Value: el.Value}}) != nil {
			s.log.Warn("a ruling made before the epoch began does not hold any more", "key", el.Key)
			continue
		}
		kept = append(kept, el)
	}
	d.Elements = kept
	var elems []identity.Element
	for _, el := range d.Elements {
		elems = append(elems, identity.Element{Key: el.Key, Value: el.Value})
	}
	for _, el := range d.Tombstones {
		elems = append(elems, identity.Element{Key: el.Key, Tombstone: true})
	}
	return len(elems) > 0 && auth.Check(s.self, elems) == nil
}
