package cluster

import (
	"context"
	"slices"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// amendTries is how often this peer's record is written again when another record
// of it came between.
const amendTries = 4

// amend changes this peer's own record; it is durable when amend returns. change
// may be called several times, does not alter slices in place, and ends it all
// with its error; a change of nothing writes nothing. Whoever else writes
// the record meanwhile does not undo the change, nor is undone: a record is
// refused unless its seq is above that of the one that it was made from.
func (m *Members) amend(ctx context.Context, change func(*identity.Record) error) error {
	m.amending.Lock()
	defer m.amending.Unlock()
	var err error
	for range amendTries {
		a := m.base.State.Authority()
		r, ok := a.Member(m.self)
		if !ok {
			return pinset.Errorf(pinset.KindConflict, "this peer is no member of the cluster").WithHint("pinfold health says why")
		}
		before, old := r.Seq, r
		if err := change(&r); err != nil {
			return err
		}
		if sameWish(old, r) {
			return nil
		}
		r.Seq = a.NextSeq(m.self)
		value, sealErr := r.Seal(m.cfg.Key, m.cfg.Founding.ID())
		if sealErr != nil {
			return pinset.Wrap(pinset.KindInvalid, sealErr, "change this peer's record")
		}
		if _, err = m.base.State.Commit(ctx, Op{Key: identity.MemberKey(m.self), Value: value}); err == nil {
			return nil
		}
		if now, _ := m.base.State.Authority().Member(m.self); now.Seq == before {
			break // it was not because of another record
		}
	}
	return err
}

// sameWish says whether two records say the same.
func sameWish(a, b identity.Record) bool {
	return a.Name == b.Name && a.Lent == b.Lent && a.InPerDay == b.InPerDay && a.Phi == b.Phi && a.State == b.State &&
		a.Incarnation == b.Incarnation && a.Seat == b.Seat && slices.Equal(a.Domains, b.Domains) && slices.Equal(a.Tags, b.Tags) && slices.Equal(a.Mirrors, b.Mirrors)
}
