package ipfsclienttest

import (
	"context"
	"iter"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// beat is how often Kubo reports the progress of a pin.
const beat = 500 * time.Millisecond

// Pin implements ipfsclient.Pinner, with Kubo's manners.
func (f *Fake) Pin(ctx context.Context, c cid.Cid, opts pinset.PinOptions) error {
	call := Call{Op: OpPin, CID: c, Mode: opts.Mode, Name: opts.Name}
	return f.do(ctx, call, func() error {
		if len(opts.Name) > 255 {
			return pinset.Invalid("pin %s (fake): name of %d bytes: at most 255", c, len(opts.Name))
		}
		if err := f.storage.enter(ctx, together); err != nil {
			return ended(call, err)
		}
		defer f.storage.leave()
		if err := f.dropForRepin(c, opts.Mode); err != nil {
			return err
		}
		p, err := f.fetch(ctx, call, func(p pinset.Progress) {
			if opts.Received != nil {
				opts.Received(p.Bytes - min(p.Bytes, opts.Had))
			}
			if opts.Progress != nil {
				opts.Progress(p)
			}
		})
		if err != nil {
			return err
		}
		p.name, p.mode = opts.Name, opts.Mode
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waste, c)
		f.pins[c] = p
		return nil
	})
}

// dropForRepin does what Kubo does before it fetches: the present recursive pin
// goes first, and is gone if fetching then fails.
func (f *Fake) dropForRepin(c cid.Cid, mode pinset.Mode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, ok := f.pins[c]
	switch {
	case !ok, old.mode == pinset.Direct:
	case mode == pinset.Direct:
		return pinset.Errorf(pinset.KindConflict, "pin %s (fake): already pinned recursively", c)
	default:
		f.unpinLocked(c)
	}
	return nil
}

// fetch brings in what is missing of a DAG.
func (f *Fake) fetch(ctx context.Context, call Call, progress func(pinset.Progress)) (pinned, error) {
	if size, ok := f.world.imagined(call.CID); ok {
		return f.fetchImagined(ctx, call, size, progress)
	}
	var tracker merkledag.ProgressTracker
	var err error
	if call.Mode == pinset.Direct {
		n, e := f.dag().online.Get(ctx, call.CID)
		if err = e; err == nil {
			tracker.Update(uint64(len(n.RawData())))
		}
	} else {
		err = merkledag.FetchGraph(tracker.DeriveContext(ctx), call.CID, f.dag().online)
	}
	if err != nil {
		if e := context.Cause(ctx); e != nil {
			return pinned{}, ended(call, e)
		}
		return pinned{}, err
	}
	stat := tracker.ProgressStat()
	progress(pinset.Progress{Blocks: uint64(stat.Nodes), Bytes: stat.Bytes})
	return pinned{}, nil
}

func (f *Fake) fetchImagined(ctx context.Context, call Call, size pinset.Progress, progress func(pinset.Progress)) (pinned, error) {
	if call.Mode == pinset.Direct && size.Blocks > 1 {
		size = pinset.Progress{Blocks: 1, Bytes: size.Bytes / size.Blocks}
	}
	p := pinned{imagined: true, bytes: size.Bytes, count: uint32(size.Blocks)}
	var got uint64
	for {
		step := size.Bytes - got
		if f.cfg.Speed != 0 {
			here := f.left(call.CID) // by an earlier attempt
			step = min(step, max(f.cfg.Speed*uint64(beat)/uint64(time.Second), here-min(here, got)))
		}
		if err := f.arrive(call.CID, got, step); err != nil {
			return p, err
		}
		got += step
		if got >= size.Bytes {
			progress(size)
			return p, nil
		}
		if err := Slow(beat)(ctx, call); err != nil {
			return p, err
		}
		progress(pinset.Progress{Blocks: size.Blocks * got / size.Bytes, Bytes: got})
	}
}

// left returns the bytes of an imagined DAG that an earlier attempt left.
func (f *Fake) left(c cid.Cid) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waste[c]
}

// arrive books step bytes of an imagined DAG of which got had come in this time.
// Until it is pinned they are waste; what an earlier attempt left counts once.
func (f *Fake) arrive(c cid.Cid, got, step uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.waste[c]
	if p, ok := f.pins[c]; ok && p.imagined {
		have = max(have, p.bytes)
	}
	if got+step <= have {
		return nil
	}
	more := got + step - have
	if err := f.full(more); err != nil {
		return err
	}
	f.weight.Add(more)
	f.waste[c] = got + step
	return nil
}

// Unpin implements ipfsclient.Pinner.
func (f *Fake) Unpin(ctx context.Context, c cid.Cid, mode pinset.Mode) error {
	return f.do(ctx, Call{Op: OpUnpin, CID: c, Mode: mode}, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if p, ok := f.pins[c]; ok && p.mode == pinset.Recursive && mode == pinset.Direct {
			return pinset.Errorf(pinset.KindConflict, "unpin %s (fake): it is pinned recursively", c)
		}
		f.unpinLocked(c)
		return nil
	})
}

func (f *Fake) unpinLocked(c cid.Cid) {
	p, ok := f.pins[c]
	if !ok {
		return
	}
	delete(f.pins, c)
	if p.imagined {
		f.waste[c] = p.bytes
	}
}

// PinOf implements ipfsclient.Pinner.
func (f *Fake) PinOf(ctx context.Context, c cid.Cid) (pin pinset.NodePin, err error) {
	err = f.do(ctx, Call{Op: OpPinOf, CID: c}, func() (err error) {
		pin, err = f.pinOf(c)
		return err
	})
	return pin, err
}

func (f *Fake) pinOf(c cid.Cid) (pinset.NodePin, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.pins[c]
	if !ok {
		return pinset.NodePin{}, pinset.NotFound("pin %s (fake): not pinned", c)
	}
	return pinset.NodePin{CID: c, Mode: p.mode, Name: p.name}, nil
}

// Pins implements ipfsclient.Pinner.
func (f *Fake) Pins(ctx context.Context) iter.Seq2[pinset.NodePin, error] {
	return func(yield func(pinset.NodePin, error) bool) {
		err := f.do(ctx, Call{Op: OpPins}, func() error {
			for _, c := range f.pinnedCIDs() {
				if err := context.Cause(ctx); err != nil {
					return ended(Call{Op: OpPins}, err)
				}
				p, err := f.pinOf(c)
				if err != nil {
					continue // gone meanwhile
				}
				if !yield(p, nil) {
					return errLeft
				}
			}
			return nil
		})
		if err != nil && err != errLeft {
			yield(pinset.NodePin{}, err)
		}
	}
}

func (f *Fake) pinnedCIDs() []cid.Cid {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]cid.Cid, 0, len(f.pins))
	for c := range f.pins {
		out = append(out, c)
	}
	return out
}
