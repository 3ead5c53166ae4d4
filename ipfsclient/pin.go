package ipfsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Pin implements Pinner.
func (c *Client) Pin(ctx context.Context, k cid.Cid, opts pinset.PinOptions) error {
	return c.pin(ctx, k, opts, false)
}

// pin pins k, offline only from what the node has.
func (c *Client) pin(ctx context.Context, k cid.Cid, opts pinset.PinOptions, offline bool) error {
	q := args("arg", k.String(), "recursive", recursive(opts.Mode), "progress", "true")
	if opts.Name != "" {
		q.Set("name", opts.Name)
	}
	if offline {
		q.Set("offline", "true")
	}
	r, err := c.start(ctx, call{name: "pin/add", args: q, wait: c.cfg.Silence})
	if err != nil {
		return about("pin", k, err)
	}
	defer r.close()
	pinned := false
	stall := stalled{at: time.Now()}
	for {
		var m pinAddMessage
		err := r.next(&m)
		switch {
		case errors.Is(err, io.EOF) && pinned:
			return nil
		case errors.Is(err, io.EOF):
			return about("pin", k, unusable(ErrTorn, c.cfg.API, "it did not say that it is pinned"))
		case err != nil:
			return about("pin", k, err)
		}
		if m.Progress > 0 && opts.Received != nil { // it counts what it had as well
			opts.Received(m.Bytes - min(m.Bytes, opts.Had))
		}
		if m.Progress > 0 && opts.Progress != nil {
			opts.Progress(pinset.Progress{Blocks: m.Progress, Bytes: m.Bytes})
		}
		pinned = pinned || len(m.Pins) > 0
		if offline && !pinned && stall.past(m.Progress, c.cfg) {
			return about("pin", k, unusable(ErrTorn, c.cfg.API, "blocks that came in are missing there: was garbage collected meanwhile?"))
		}
	}
}

// stalled notices that a pin of what is there does not get on: Kubo looks for
// missing blocks elsewhere even when asked not to, for ever, and goes on telling.
type stalled struct {
	at     time.Time // of the last progress
	blocks uint64
}

// past: a node that has not begun may be waiting for its garbage to be collected.
func (s *stalled) past(blocks uint64, cfg Config) bool {
	if blocks > s.blocks {
		s.at, s.blocks = time.Now(), blocks
	}
	if s.blocks == 0 {
		return time.Since(s.at) > cfg.Patience
	}
	return time.Since(s.at) > cfg.Silence
}

func recursive(m pinset.Mode) string { return strconv.FormatBool(m == pinset.Recursive) }

// about says which CID an error is about.
func about(verb string, k cid.Cid, err error) error { return fmt.Errorf("%s %s: %w", verb, k, err) }

// Unpin implements Pinner.
func (c *Client) Unpin(ctx context.Context, k cid.Cid, mode pinset.Mode) error {
	var m struct{ Pins []string }
	q := args("arg", k.String(), "recursive", recursive(mode))
	err := c.one(ctx, call{name: "pin/rm", args: q, wait: c.cfg.Patience}, &m)
	if saidSo(err) && pinset.KindOf(err) == pinset.KindNotFound {
		return nil // already gone
	}
	if err != nil {
		return about("unpin", k, err)
	}
	return nil
}

// saidSo tells that err is the node's own word.
func saidSo(err error) bool {
	var rpc *RPCError
	return errors.As(err, &rpc)
}

// PinOf implements Pinner. It never asks for type all: for a CID that is not
// pinned, Kubo would then walk over every DAG it holds.
func (c *Client) PinOf(ctx context.Context, k cid.Cid) (pinset.NodePin, error) {
	pin, err := c.pinOfMode(ctx, k, pinset.Recursive)
	if saidSo(err) && pinset.KindOf(err) == pinset.KindNotFound {
		pin, err = c.pinOfMode(ctx, k, pinset.Direct)
	}
	if saidSo(err) && pinset.KindOf(err) == pinset.KindNotFound {
		return pinset.NodePin{}, pinset.NotFound("pin %s: not pinned at the ipfs node", k)
	}
	if err != nil {
		return pinset.NodePin{}, about("look up pin", k, err)
	}
	return pin, nil
}

func (c *Client) pinOfMode(ctx context.Context, k cid.Cid, mode pinset.Mode) (pinset.NodePin, error) {
	var m pinMessage
	q := args("arg", k.String(), "type", mode.String(), "names", "true", "stream", "true")
	if err := c.one(ctx, call{name: "pin/ls", args: q, wait: c.cfg.Silence}, &m); err != nil {
		return pinset.NodePin{}, err
	}
	pin, err := m.pin()
	if err != nil {
		return pin, unusable(ErrNotIPFS, c.cfg.API, err.Error())
	}
	if !pin.CID.Equals(k) {
		return pin, unusable(ErrNotIPFS, c.cfg.API, fmt.Sprintf("asked for the pin of %s, it answered for %s", k, pin.CID))
	}
	return pin, nil
}

// Pins implements Pinner. Direct pins come first, so that one which becomes
// recursive meanwhile is seen twice rather than never.
func (c *Client) Pins(ctx context.Context) iter.Seq2[pinset.NodePin, error] {
	return func(yield func(pinset.NodePin, error) bool) {
		for _, mode := range []pinset.Mode{pinset.Direct, pinset.Recursive} {
			on, err := c.pinsOfMode(ctx, mode, yield)
			if err != nil {
				yield(pinset.NodePin{}, fmt.Errorf("list pins: %w", err))
				return
			}
			if !on {
				return
			}
		}
	}
}

func (c *Client) pinsOfMode(ctx context.Context, mode pinset.Mode, yield func(pinset.NodePin, error) bool) (on bool, err error) {
	q := args("type", mode.String(), "names", "true", "stream", "true")
	r, err := c.start(ctx, call{name: "pin/ls", args: q, wait: c.cfg.Silence})
	if err != nil {
		return false, err
	}
	defer r.close()
	for {
		var m pinMessage
		if err := r.next(&m); errors.Is(err, io.EOF) {
			return true, nil
		} else if err != nil {
			return false, err
		}
		pin, err := m.pin()
		if err != nil {
			return false, unusable(ErrNotIPFS, c.cfg.API, err.Error())
		}
		if !yield(pin, nil) {
			return false, nil
		}
	}
}
