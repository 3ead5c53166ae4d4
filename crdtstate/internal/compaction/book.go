package compaction

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Book is the newest seal and acknowledgement of each member. The zero Book is
// empty; it is not safe for concurrent use.
type Book struct {
	seals map[peer.ID]*Seal
	acks  map[peer.ID]*Ack
	liars map[peer.ID]string // who signed two things that exclude each other
}

// AddSeal takes a seal in if it is newer than what is here. Two seals with one
// number prove that their author has two tongues: neither counts, until it seals
// again, which gives up both.
func (b *Book) AddSeal(s *Seal) (fresh bool) {
	if b.seals == nil {
		b.seals = map[peer.ID]*Seal{}
	}
	old := b.seals[s.Author]
	if old != nil && old.Epoch == s.Epoch && old.Seq == s.Seq && !bytes.Equal(old.Raw, s.Raw) {
		fresh = b.lie(s.Author, "two seals with one number")
		if bytes.Compare(s.Raw, old.Raw) > 0 { // everybody keeps the same one
			b.seals[s.Author] = s
			fresh = true
		}
		return fresh
	}
	if old != nil && (s.Epoch < old.Epoch || s.Epoch == old.Epoch && s.Seq <= old.Seq) {
		return false
	}
	b.seals[s.Author] = s
	delete(b.liars, s.Author) // it gave up whatever it said before
	return true
}

// AddAck takes an acknowledgement in if it is newer than what is here.
func (b *Book) AddAck(a *Ack) (fresh bool) {
	if b.acks == nil {
		b.acks = map[peer.ID]*Ack{}
	}
	old := b.acks[a.Author]
	if old != nil && old.Epoch == a.Epoch && old.Seal == a.Seal && !bytes.Equal(old.Raw, a.Raw) {
		fresh = b.lie(a.Author, "two acknowledgements of one cut")
		if bytes.Compare(a.Raw, old.Raw) > 0 {
			b.acks[a.Author] = a
			fresh = true
		}
		return fresh
	}
	if old != nil && (a.Epoch < old.Epoch || a.Epoch == old.Epoch && a.Seal <= old.Seal) {
		return false
	}
	b.acks[a.Author] = a
	return true
}

func (b *Book) lie(id peer.ID, what string) bool {
	if b.liars == nil {
		b.liars = map[peer.ID]string{}
	}
	_, known := b.liars[id]
	b.liars[id] = what
	return !known
}

// Liars are those who signed two things of which one excludes the other.
func (b *Book) Liars() map[peer.ID]string { return maps.Clone(b.liars) }

// Seal is the newest of a member, for an epoch; nil for none, and for who has two.
func (b *Book) Seal(id peer.ID, epoch uint64) *Seal {
	s := b.seals[id]
	if _, liar := b.liars[id]; liar || s == nil || s.Epoch != epoch {
		return nil
	}
	return s
}

// Ack is the newest of a member, for an epoch, if it belongs to its newest seal.
func (b *Book) Ack(id peer.ID, epoch uint64) *Ack {
	a := b.acks[id]
	if _, liar := b.liars[id]; liar || a == nil || a.Epoch != epoch {
		return nil
	}
	if s := b.seals[id]; s != nil && s.Epoch == epoch && s.Seq > a.Seal {
		return nil // it sealed again: that cut was given up
	}
	return a
}

// Records are all records as they were signed, in one order.
func (b *Book) Records() [][]byte {
	var out [][]byte
	for _, id := range slices.Sorted(maps.Keys(b.seals)) {
		out = append(out, b.seals[id].Raw)
	}
	for _, id := range slices.Sorted(maps.Keys(b.acks)) {
		out = append(out, b.acks[id].Raw)
	}
	return out
}

// Digest names the records: equal digests mean equal books. Nil for an empty one.
func (b *Book) Digest() []byte {
	records := b.Records()
	if len(records) == 0 {
		return nil
	}
	h := sha256.New()
	for _, r := range records {
		one := sha256.Sum256(r)
		h.Write(one[:])
	}
	return h.Sum(nil)[:16]
}
