package compaction

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// View is what a member decides its next step by.
type View struct {
	Self    peer.ID
	Epoch   uint64    // that this member is in
	Members []peer.ID // as this member knows them
	Book    *Book
	Due     bool // this member wants to compact
	Willing bool // it follows others who want to

	// What this member acknowledged for the next epoch: the seals, and the root. Nil:
	// nothing yet.
	Cut  []*Seal
	Root [32]byte
}

// Step is what to do next.
type Step int

// Steps.
const (
	Wait    Step = iota
	SealNow      // sign a seal with number Seq, for Members
	Build        // compute the genesis of Cut, and acknowledge it
	Fold         // everybody acknowledged: drop what is folded
)

// Decision is a step and what it needs.
type Decision struct {
	Step    Step
	Seq     uint64
	Members [32]byte
	Cut     []*Seal
	Sealed  []peer.ID // who has sealed for the next epoch, with these members
	Acked   []peer.ID // who has acknowledged what this member did
	Waiting []peer.ID // who has to do the one or the other first
}

// Decide says what a member does next. The rules:
//
//   - A seal names the members. It is signed when this member wants to compact or
//     another one has sealed, and again, under the next number, when the members
//     changed meanwhile.
//   - A cut is one seal by each member, all naming these members.
//   - A member acknowledges one cut for an epoch, and seals no more after that;
//     unless another one of the cut, still a member, sealed again: it has not
//     acknowledged the cut, and never will.
//   - It folds when all of the cut that are still members acknowledged its root. Who
//     became a member later takes the genesis.
func Decide(v View) Decision {
	d := Decision{}
	if !slices.Contains(v.Members, v.Self) {
		return d
	}
	members := slices.Sorted(slices.Values(v.Members))
	d.Members = MembersDigest(members)
	if v.Cut != nil && !v.abandoned() {
		return v.acknowledged(d)
	}
	asked := v.Due
	for _, id := range members {
		s := v.Book.Seal(id, v.Epoch+1)
		if s == nil || s.Members != d.Members {
			d.Waiting = append(d.Waiting, id)
			continue
		}
		d.Sealed, d.Cut = append(d.Sealed, id), append(d.Cut, s)
		asked = asked || v.Willing
	}
	own := v.Book.Seal(v.Self, v.Epoch+1)
	switch {
	case v.Cut != nil || own != nil && own.Members != d.Members || own == nil && asked:
		d.Step, d.Seq = SealNow, v.nextSeq()
	case own != nil && len(d.Waiting) == 0:
		d.Step = Build
	}
	return d
}

// abandoned says whether somebody will never acknowledge the cut that this member
// acknowledged.
func (v View) abandoned() bool {
	return slices.ContainsFunc(v.Cut, func(s *Seal) bool {
		if !slices.Contains(v.Members, s.Author) {
			return false
		}
		newer := v.Book.Seal(s.Author, s.Epoch)
		return newer != nil && newer.Seq > s.Seq
	})
}

// nextSeq is the number of this member's next seal.
func (v View) nextSeq() uint64 {
	if s := v.Book.seals[v.Self]; s != nil && s.Epoch == v.Epoch+1 {
		return s.Seq + 1
	}
	return 1
}

// acknowledged is the step of who has acknowledged a cut: fold, or wait for others.
func (v View) acknowledged(d Decision) Decision {
	d.Cut = v.Cut
	for _, s := range v.Cut {
		d.Sealed = append(d.Sealed, s.Author)
		a := v.Book.Ack(s.Author, s.Epoch)
		switch {
		case a != nil && a.Root == v.Root && a.Seal == s.Seq:
			d.Acked = append(d.Acked, s.Author)
		case slices.Contains(v.Members, s.Author):
			d.Waiting = append(d.Waiting, s.Author)
		}
	}
	if len(d.Waiting) == 0 {
		d.Step = Fold
	}
	return d
}

// Vouched says whether a genesis may be taken over from others: more than half of
// the members acknowledged it.
func Vouched(b *Book, members []peer.ID, epoch uint64, root [32]byte) bool {
	n := 0
	for _, id := range members {
		if a := b.acks[id]; a != nil && a.Epoch == epoch && a.Root == root && b.liars[id] == "" {
			n++
		}
	}
	return 2*n > len(members)
}
