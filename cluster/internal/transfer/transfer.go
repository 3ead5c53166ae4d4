// Package transfer takes a pinset out of a cluster and brings one in, a pin at a
// time. Writing out is signed; bringing in is repeatable: what is there stays, and
// twice is once.
package transfer

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/bulk"
	"github.com/pinfold/pinfold/pinset"
)

// Writer takes an export piece by piece.
type Writer interface {
	Head(e pinset.Export, signature []byte) error
	Pin(p pinset.Pin) error
	End(e pinset.Export, signature []byte) error
}

// Write exports pins, which come in the order of their keys. sign signs as e.By.
func Write(e pinset.Export, pins iter.Seq2[pinset.Pin, error], sign func([]byte) ([]byte, error), w Writer) error {
	sig, err := sign(e.Head())
	if err == nil {
		err = w.Head(e, sig)
	}
	if err != nil {
		return err
	}
	var digest pinset.ExportDigest
	for p, err := range pins {
		if err == nil {
			err = digest.Add(p)
		}
		if err == nil {
			err = w.Pin(p)
		}
		if err != nil {
			return err
		}
	}
	e.Pins, e.Digest = digest.Sum()
	if sig, err = sign(e.End()); err != nil {
		return err
	}
	return w.End(e, sig)
}

// Target is the cluster that takes pins in.
type Target[Op any] struct {
	// Pin returns an owner's pin, or an error of KindNotFound.
	Pin func(ctx context.Context, c cid.Cid, owner string) (pinset.Pin, error)
	// Change is what makes a pin; without a key nothing is to be done. KindInvalid: it
	// cannot be pinned.
	Change func(ctx context.Context, p pinset.Pin) (bulk.Change[Op], error)
	Commit func(ops []Op) error
	Member func(peer.ID) bool
	Now    time.Time
}

// Read brings pins in and counts what became of them. Lines that cannot be used are
// passed over; an error is one of the sequence or of the target, and what was
// brought in before it stays.
func Read[Op any](ctx context.Context, lines iter.Seq2[pinset.ImportLine, error], o pinset.ImportOptions, t Target[Op]) (pinset.Import, error) {
	out := pinset.Import{DryRun: o.DryRun}
	batch := bulk.Batch[Op]{Commit: t.Commit}
	for l, err := range lines {
		if err != nil {
			return out, err
		}
		out.Lines++
		if l.Err != nil {
			out.Spoil(l.Line, l.Text, l.Err)
			continue
		}
		if batch.Has(l.Pin.Key()) { // the same pin once more: it is judged by the first
			if err := batch.Flush(); err != nil {
				return out, err
			}
		}
		c, err := judge(ctx, l, o, t, &out)
		if err != nil {
			return out, err
		}
		if c.Key == "" || o.DryRun || !batch.Add(c) {
			continue
		}
		if err := batch.Flush(); err != nil {
			return out, err
		}
	}
	return out, batch.Flush()
}

// judge counts one pin, and returns the change that it needs, if any.
func judge[Op any](ctx context.Context, l pinset.ImportLine, o pinset.ImportOptions, t Target[Op], out *pinset.Import) (none bulk.Change[Op], err error) {
	p := l.Pin
	if p.Expired(t.Now) {
		out.Expired++
		return none, nil
	}
	n := len(p.Include)
	p.Include = slices.DeleteFunc(slices.Clone(p.Include), func(id peer.ID) bool { return !t.Member(id) })
	dropped := uint64(n - len(p.Include))
	_, err = t.Pin(ctx, p.CID, p.Owner)
	there := err == nil
	if err != nil && pinset.KindOf(err) != pinset.KindNotFound {
		return none, err
	}
	c, err := t.Change(ctx, p)
	switch {
	case pinset.KindOf(err) == pinset.KindInvalid && err != nil:
		out.Spoil(l.Line, l.Text, err)
		return none, nil
	case err != nil:
		return none, err
	case c.Key == "":
		out.Same++
		return none, nil
	case there && !o.Replace:
		out.Kept++
		return none, nil
	case there:
		out.Changed++
	default:
		out.Added++
	}
	out.Dropped += dropped
	return c, nil
}
