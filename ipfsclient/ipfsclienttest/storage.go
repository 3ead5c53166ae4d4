package ipfsclienttest

import (
	"context"
	"errors"
	"iter"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// errLeft says inside an iterator that its loop was left.
var errLeft = errors.New("loop left")

// RepoStat implements ipfsclient.Storage.
func (f *Fake) RepoStat(ctx context.Context) (stat pinset.RepoStat, err error) {
	err = f.do(ctx, Call{Op: OpRepoStat}, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		stat = pinset.RepoStat{Used: f.usedLocked(), Max: f.cfg.Max}
		if taken := stat.Used + f.others.Load(); f.cfg.Disk > taken {
			stat.Free = f.cfg.Disk - taken
		}
		return nil
	})
	return stat, err
}

// GC implements ipfsclient.Storage. Imagined DAGs come out as one CID each.
func (f *Fake) GC(ctx context.Context) iter.Seq2[cid.Cid, error] {
	return func(yield func(cid.Cid, error) bool) {
		var removed []cid.Cid
		err := f.do(ctx, Call{Op: OpGC}, func() (err error) {
			removed, err = f.sweep(ctx)
			return err
		})
		for _, c := range removed {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(cid.Undef, err)
		}
	}
}

func (f *Fake) sweep(ctx context.Context) ([]cid.Cid, error) {
	f.storage.Lock()
	defer f.storage.Unlock()
	var removed []cid.Cid
	f.mu.Lock()
	for c, n := range f.waste {
		f.weight.Add(-n)
		removed = append(removed, c)
	}
	clear(f.waste)
	b := f.blocks
	f.mu.Unlock()
	if b == nil {
		return removed, nil
	}
	keep, err := f.mark(ctx, b)
	if err != nil {
		return removed, err
	}
	all, err := b.store.AllKeysChan(ctx)
	if err != nil {
		return removed, err
	}
	var doomed []cid.Cid
	for c := range all {
		if !keep[string(c.Hash())] {
			doomed = append(doomed, c)
		}
	}
	for _, c := range doomed {
		if err := b.store.DeleteBlock(ctx, c); err != nil {
			return removed, err
		}
		removed = append(removed, c)
	}
	return removed, nil
}

// mark returns the multihashes of all blocks that a pin holds.
func (f *Fake) mark(ctx context.Context, b *content) (map[string]bool, error) {
	keep := map[string]bool{}
	links := merkledag.GetLinksDirect(b.here)
	for _, c := range f.pinnedCIDs() {
		f.mu.Lock()
		p := f.pins[c]
		f.mu.Unlock()
		if p.imagined || p.lost {
			continue
		}
		if p.mode == pinset.Direct {
			keep[string(c.Hash())] = true
			continue
		}
		set := cid.NewSet()
		if err := merkledag.Walk(ctx, links, c, set.Visit); err != nil {
			return nil, err
		}
		for _, k := range set.Keys() {
			keep[string(k.Hash())] = true
		}
	}
	return keep, nil
}
