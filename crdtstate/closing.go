package crdtstate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/crdtstate/internal/compaction"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// closing is how far this peer is with the next epoch. What internal/compaction
// decides is done here, in one goroutine.
type closing struct {
	mu     sync.Mutex
	book   compaction.Book
	cut    []*compaction.Seal // acknowledged by this peer for the next epoch; nil: none
	root   [32]byte
	asked  bool // somebody here asked for it
	began  time.Time
	failed string // what keeps this peer itself from the next step; "": nothing
	wake   chan struct{}
	signed chan []byte

	// Of the closing goroutine alone:
	staged *staged
}

// staged is the next epoch, in its own directory, not in force yet.
type staged struct {
	number  uint64
	epoch   *epoch.Epoch
	root    [32]byte
	pos     uint64           // the blocks of the epoch in force before it are carried over
	orphans []gate.Inspected // those of them that have no place, and are to be signed anew
	adopted bool             // taken over from others
	gap     uint64           // from the epoch in force; 1: the next one
	odd     bool             // something was left out: it need not show the same
}

const (
	defaultRest  = 10 * time.Minute
	closeEvery   = 5 * time.Second // looked at what is due, if nothing happened
	minBlocks    = 20_000          // a history shorter than this is left alone
	blocksPerPin = 4
	lateBlocks   = 64 // left to carry over when writers are made to wait
	maxSigned    = 16
)

// notes are what must not be forgotten: what this peer signed.
type notes struct {
	Records [][]byte `cbor:"records"`
	Cut     [][]byte `cbor:"cut,omitempty"`
	Root    []byte   `cbor:"root,omitempty"`
}

func (s *State) loadClosing() error {
	c := &s.closing
	c.wake, c.signed = make(chan struct{}, 1), make(chan []byte, maxSigned)
	raw, err := s.out.disk.Notes()
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	if raw == nil {
		return nil
	}
	var n notes
	if err := canon.Unmarshal(raw, &n); err != nil {
		return fmt.Errorf("open state: read seals: %w", err)
	}
	for _, r := range n.Records {
		if _, err := s.takeRecord(r); err != nil {
			return fmt.Errorf("open state: read seals: %w", err)
		}
	}
	var cut []*compaction.Seal
	for _, r := range n.Cut {
		seal, _, err := compaction.Open(s.cfg.Founding.ID(), r)
		if err != nil {
			return fmt.Errorf("open state: read seals: %w", err)
		}
		cut = append(cut, seal)
	}
	if len(cut) > 0 && len(n.Root) == len(c.root) && cut[0].Epoch == s.number+1 {
		c.cut, c.root = cut, [32]byte(n.Root)
	}
	return nil
}

// saveClosing writes the notes. It is called with closing.mu held.
func (s *State) saveClosing() error {
	c := &s.closing
	n := notes{Records: c.book.Records()}
	for _, seal := range c.cut {
		n.Cut, n.Root = append(n.Cut, seal.Raw), c.root[:]
	}
	raw, err := canon.Marshal(n)
	if err != nil {
		return err
	}
	return s.out.disk.Save(raw)
}

// takeRecord puts a seal or an acknowledgement into the book. It says whether it was
// new.
func (s *State) takeRecord(raw []byte) (fresh bool, err error) {
	seal, ack, err := compaction.Open(s.cfg.Founding.ID(), raw)
	if err != nil {
		return false, err
	}
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	if seal != nil {
		return s.closing.book.AddSeal(seal), nil
	}
	return s.closing.book.AddAck(ack), nil
}

// AcceptSigned takes in a seal or an acknowledgement by another member. It says
// whether it was new; who never was a member is not heard.
func (s *State) AcceptSigned(ctx context.Context, raw []byte) (fresh bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	seal, ack, err := compaction.Open(s.cfg.Founding.ID(), raw)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	author := peer.ID("")
	if seal != nil {
		author = seal.Author
	} else {
		author = ack.Author
	}
	// Who was removed may have sealed before, and the others wait for what it said.
	if auth := s.Authority(); len(auth.Members()) > 0 && !auth.Ever(author) {
		return false, nil
	}
	if fresh, err = s.takeRecord(raw); fresh {
		s.wakeCloser()
	}
	return fresh, err
}

// Signed are the newest seals and acknowledgements of all members, to be handed on.
func (s *State) Signed() [][]byte {
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	return s.closing.book.Records()
}

// SignedDigest names what Signed returns: peers with equal ones need not exchange.
// Nil for nothing.
func (s *State) SignedDigest() []byte {
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	return s.closing.book.Digest()
}

// NewlySigned yields what this peer signs, to be announced. It is not closed.
func (s *State) NewlySigned() <-chan []byte { return s.closing.signed }

// Epoch is the number of the epoch in force here.
func (s *State) Epoch() uint64 {
	s.swap.RLock()
	defer s.swap.RUnlock()
	return s.number
}

// Compact asks for a new epoch. It returns at once: the other members have to seal
// and to acknowledge first (Info says how far they are).
func (s *State) Compact() {
	s.closing.mu.Lock()
	s.closing.asked = true
	s.closing.mu.Unlock()
	s.wakeCloser()
}

func (s *State) wakeCloser() {
	select {
	case s.closing.wake <- struct{}{}:
	default:
	}
}

// runCloser takes one step after the other towards the next epoch, until ctx ends.
func (s *State) runCloser(ctx context.Context) {
	defer func() {
		s.stageM.Lock()
		defer s.stageM.Unlock()
		s.unstage()
		s.dropAdoption()
	}()
	beat := time.NewTicker(closeEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		case <-s.closing.wake:
		}
		for ctx.Err() == nil {
			again, err := s.closeStep(ctx)
			s.noteClosing(err)
			if err != nil || !again {
				break
			}
		}
	}
}

// noteClosing remembers what keeps this peer from the next step.
func (s *State) noteClosing(err error) {
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.closing.failed && text != "" && !errors.Is(err, gate.ErrIncomplete) && !errors.Is(err, context.Canceled) {
		s.log.Warn("begin the next epoch", "err", err)
	}
	s.closing.failed = text
}

// decide asks the rules for the next step. The view is what they were asked with.
func (s *State) decide() (compaction.Decision, *view) {
	now := s.view.Load()
	s.swap.RLock()
	number, due := s.number, s.cfg.Compact && s.epoch != nil && due(now)
	s.swap.RUnlock()
	c := &s.closing
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cut) > 0 && c.cut[0].Epoch != number+1 { // it began, though the disk did not say so
		c.cut, c.asked, c.began = nil, false, time.Now()
	}
	v := compaction.View{
		Self: s.self, Epoch: number, Book: &c.book, Due: c.asked || due, Willing: c.began.IsZero() || time.Since(c.began) >= s.cfg.Rest,
		Cut: c.cut, Root: c.root,
	}
	for _, m := range now.authority.Members() {
		v.Members = append(v.Members, m.Peer)
	}
	return compaction.Decide(v), now
}

// due says whether the history has grown far beyond what is live.
func due(v *view) bool {
	return v.Blocks-v.folded > max(minBlocks, blocksPerPin*v.Count)
}

// closeStep takes the next step, if there is one. Again: there may be another.
func (s *State) closeStep(ctx context.Context) (again bool, err error) {
	s.stageM.Lock()
	defer s.stageM.Unlock()
	d, now := s.decide()
	switch d.Step {
	case compaction.SealNow:
		return true, s.sealNow(ctx, d, now)
	case compaction.Build:
		return true, s.build(ctx, d)
	case compaction.Fold:
		return true, s.fold(ctx, d)
	}
	return false, nil
}

// sealNow signs a seal of what is on the disk.
func (s *State) sealNow(ctx context.Context, d compaction.Decision, now *view) error {
	if len(now.Heads) == 0 || len(now.Heads) > compaction.MaxSealHeads {
		return fmt.Errorf("seal: %d heads", len(now.Heads))
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	s.unstage()
	seal, err := compaction.Seal{Epoch: s.Epoch() + 1, Seq: d.Seq, Members: d.Members, Heads: now.Heads}.Sign(s.cfg.Key, s.cfg.Founding.ID())
	if err != nil {
		return err
	}
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	s.closing.book.AddSeal(seal)
	s.closing.cut = nil
	if err := s.saveClosing(); err != nil {
		return err
	}
	s.publishSigned(seal.Raw)
	return nil
}

// publishSigned queues what was signed for announcement. When nobody reads, it is
// exchanged like everything else.
func (s *State) publishSigned(raw []byte) {
	select {
	case s.closing.signed <- raw:
	default:
	}
}

// build computes the genesis of a cut and acknowledges it.
func (s *State) build(ctx context.Context, d compaction.Decision) error {
	if err := s.stage(ctx, d.Cut); err != nil {
		return err
	}
	own := d.Cut[slices.IndexFunc(d.Cut, func(seal *compaction.Seal) bool { return seal.Author == s.self })]
	ack, err := compaction.Ack{Epoch: own.Epoch, Seal: own.Seq, Root: s.closing.staged.root}.Sign(s.cfg.Key, s.cfg.Founding.ID())
	if err != nil {
		return err
	}
	s.closing.mu.Lock()
	defer s.closing.mu.Unlock()
	s.closing.book.AddAck(ack)
	s.closing.cut, s.closing.root = d.Cut, ack.Root
	if err := s.saveClosing(); err != nil {
		return err
	}
	s.publishSigned(ack.Raw)
	return nil
}

// stage builds the next epoch beside the one in force.
func (s *State) stage(ctx context.Context, seals []*compaction.Seal) (err error) {
	s.unstage()
	cut := epoch.Cut{Epoch: seals[0].Epoch}
	var members []peer.ID
	for _, seal := range seals {
		cut.Heads, members = append(cut.Heads, seal.Heads...), append(members, seal.Author)
	}
	if err := s.holds(ctx, cut); err != nil {
		return err
	}
	s.dropAdoption()
	db, err := s.out.disk.Open(cut.Epoch)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close(), s.out.disk.Clean(s.Epoch()))
		}
	}()
	st, err := epoch.NewStage(db)
	if err != nil {
		return err
	}
	g, control, err := epoch.Fold(ctx, s.read, cut, st.Put)
	if err != nil {
		return err
	}
	none := identity.NewAuthority(s.cfg.Founding, s.cfg.Secret)
	var there []peer.ID
	for _, m := range none.With(control...).Members() {
		there = append(there, m.Peer)
	}
	if compaction.MembersDigest(there) != compaction.MembersDigest(members) {
		return errors.New("the members below the cut are not those who sealed")
	}
	if err := st.Install(ctx, g); err != nil {
		return err
	}
	e, err := epoch.Open(ctx, db, history, none)
	if err != nil {
		return err
	}
	s.closing.staged = &staged{number: cut.Epoch, epoch: e, root: [32]byte(g.Hash()), gap: 1}
	return nil
}

// holds says whether everything below a cut is here, and on the disk.
func (s *State) holds(ctx context.Context, cut epoch.Cut) error {
	for _, h := range cut.Heads {
		known, err := s.Known(ctx, h)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("head %s of a seal: %w", h, gate.ErrIncomplete)
		}
	}
	return s.Sync(ctx)
}

// unstage gives up a next epoch that is not in force.
func (s *State) unstage() {
	st := s.closing.staged
	if st == nil {
		return
	}
	s.closing.staged = nil
	if err := errors.Join(st.epoch.Close(), s.out.disk.Clean(s.Epoch())); err != nil {
		s.log.Warn("remove an epoch that did not begin", "epoch", st.number, "err", err)
	}
}

// fold puts the next epoch in force: everybody has what is folded.
func (s *State) fold(ctx context.Context, d compaction.Decision) error {
	if s.closing.staged == nil {
		if err := s.stage(ctx, d.Cut); err != nil {
			return err
		}
	}
	st := s.closing.staged
	if st.root != s.closing.root {
		return fmt.Errorf("the genesis of epoch %d was %x when it was acknowledged, and is %x now", st.number, s.closing.root[:6], st.root[:6])
	}
	if err := s.carry(ctx, st); err != nil {
		s.unstage()
		return err
	}
	if err := s.enter(ctx, st); err != nil {
		s.unstage()
		return err
	}
	return nil
}

// carry appends what came after the cut to the next epoch, until little is left.
func (s *State) carry(ctx context.Context, st *staged) error {
	for {
		from := st.pos
		if err := s.carryOnce(ctx, st); err != nil {
			return err
		}
		if st.pos-from <= lateBlocks {
			return nil
		}
	}
}

func (s *State) carryOnce(ctx context.Context, st *staged) (err error) {
	st.pos, err = st.epoch.Carry(ctx, s.read, st.pos, func(in gate.Inspected, below bool) error {
		st.odd = true
		if s.homeless(st, in, below) {
			st.orphans = append(st.orphans, in)
		}
		return nil
	})
	return err
}

// enter replaces the epoch in force by the staged one. Writers wait for as long as
// the last few blocks take.
func (s *State) enter(ctx context.Context, st *staged) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.down != nil || s.epoch == nil {
		return pinset.Wrap(pinset.KindUnavailable, s.down, "begin epoch %d", st.number)
	}
	if err := s.carryOnce(ctx, st); err != nil {
		return err
	}
	if err := s.takeAlong(st); err != nil {
		return err
	}
	if !st.adopted && !st.odd && st.epoch.Digest() != s.epoch.Digest() {
		return fmt.Errorf("begin epoch %d: it would show %d pins instead of %d, or others", st.number, st.epoch.Pins(), s.epoch.Pins())
	}
	s.closing.staged = nil
	if err := s.out.disk.Begin(st.number); err != nil {
		// It may have begun or not: both epochs have all that was acknowledged, and
		// nothing more is written before the disk says which it is.
		return errors.Join(s.broke(err), st.epoch.Close())
	}
	old, number := s.epoch, s.number
	s.swap.Lock()
	s.epoch, s.number = st.epoch, st.number
	err := s.publishAll()
	s.swap.Unlock()
	s.lookups.clear()
	if st.adopted || st.odd { // else it shows the very same
		s.feeds.rescan()
	}
	s.forget(st.number)
	s.queue.wakeUp()
	if e := errors.Join(old.Close(), s.out.disk.Clean(st.number)); e != nil {
		s.log.Warn("remove the epoch before", "epoch", number, "err", e)
	}
	s.log.Info("a new epoch began", "epoch", st.number, "pins", st.epoch.Pins(), "blocks", st.epoch.Blocks())
	return err
}

// takeAlong brings into the next epoch what is not in its log, and flushes the disk.
func (s *State) takeAlong(st *staged) error {
	if err := st.epoch.Reissue(s.epoch, st.orphans); err != nil {
		return err
	}
	if err := st.epoch.RaiseSeq(s.self, s.epoch.Seq(s.self)); err != nil {
		return err
	}
	return st.epoch.Keep(s.epoch)
}

// forget ends the closing of an epoch that is in force.
func (s *State) forget(number uint64) {
	c := &s.closing
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.asked, c.began = nil, false, time.Now()
	if err := s.saveClosing(); err != nil {
		s.log.Warn("write seals", "epoch", number, "err", err)
	}
}
