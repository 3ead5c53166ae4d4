package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"
)

// usage counts the blocks on disk by parts, as they come and go. A checkpoint keeps
// the counts with each part's stamp; after a crash only the parts whose stamp has
// changed since are counted again.
//
// If the machine itself went down, blocks of such a part that were written after
// the checkpoint may be torn: the part is suspect, what is read from it is checked
// against its hash, until Recover has been through it and has removed what is torn.
type usage struct {
	parts    [shards]partUsage
	total    atomic.Int64
	doubtful atomic.Int32 // parts to recover
	at       int64        // the checkpoint's time, Unix nanoseconds
	rebooted bool

	saveMu sync.Mutex
	saved  int64        // value of moves that the last checkpoint covers
	moves  atomic.Int64 // counts changes
}

type partUsage struct {
	blocks, bytes atomic.Int64
	stale         atomic.Bool // to be counted again
	torn          atomic.Bool // and its blocks to be checked
}

var usageKey = []byte("usage")

func (u *usage) bytes() uint64         { return uint64(max(0, u.total.Load())) }
func (u *usage) suspect(part int) bool { return u.doubtful.Load() > 0 && u.parts[part].torn.Load() }

func (u *usage) add(part int, blocks, bytes int64) {
	u.parts[part].blocks.Add(blocks)
	u.parts[part].bytes.Add(bytes)
	u.total.Add(bytes)
	u.moves.Add(1)
}

// load reads the checkpoint and finds out which parts it still describes.
func (u *usage) load(db *pebble.DB, d disk) error {
	cp := new(checkpoint)
	raw, done, err := db.Get(usageKey)
	switch {
	case err == nil:
		cp = decodeCheckpoint(raw)
		err = done.Close()
	case errors.Is(err, pebble.ErrNotFound):
		err = nil
	}
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	u.at, u.rebooted = cp.at, cp.boot == "" || cp.boot != bootID()
	for i := range u.parts {
		p, c := &u.parts[i], cp.parts[i]
		p.blocks.Store(c.blocks)
		p.bytes.Store(c.bytes)
		u.total.Add(c.bytes)
		if now := d.stamp(i); now == 0 || now != c.stamp {
			p.stale.Store(true)
			p.torn.Store(u.rebooted)
			u.doubtful.Add(1)
		}
	}
	return nil
}

// Recover counts the stale parts again. It runs beside everything else; each part is
// closed to writers while it is counted.
func (s *Store) Recover(ctx context.Context) error {
	u := &s.usage
	for i := range u.parts {
		if !u.parts[i].stale.Load() {
			continue
		}
		if err := s.recount(ctx, i); err != nil {
			return fmt.Errorf("count blocks: %w", err)
		}
	}
	return nil
}

func (s *Store) recount(ctx context.Context, part int) error {
	mu := &s.stripes[part%len(s.stripes)]
	mu.Lock()
	defer mu.Unlock()
	p := &s.usage.parts[part]
	var blocks, bytes int64
	err := s.disk.scan(ctx, part, func(b stored) error {
		if p.torn.Load() && !s.whole(ctx, b) {
			return s.disk.Delete(ctx, keyOf(b.hash))
		}
		blocks++
		bytes += b.size
		return nil
	})
	if err != nil {
		return err
	}
	s.usage.total.Add(bytes - p.bytes.Load())
	p.blocks.Store(blocks)
	p.bytes.Store(bytes)
	p.torn.Store(false)
	p.stale.Store(false)
	s.usage.doubtful.Add(-1)
	s.usage.moves.Add(1)
	return nil
}

// unsettled is how long before a checkpoint a block may have been written whose
// bytes that checkpoint's flush did not cover yet: from the file's last byte to its
// name standing in the directory.
const unsettled = int64(2 * time.Minute)

// whole says whether a block survived a power cut.
func (s *Store) whole(ctx context.Context, b stored) bool {
	if b.changed != 0 && b.changed < s.usage.at-unsettled {
		return true
	}
	data, err := s.disk.Get(ctx, keyOf(b.hash))
	return err == nil && matches(cid.NewCidV1(cid.Raw, b.hash), data)
}

// Checkpoint keeps the counts, if anything has changed since the last one.
func (s *Store) Checkpoint(ctx context.Context) error {
	u := &s.usage
	u.saveMu.Lock()
	defer u.saveMu.Unlock()
	moves := u.moves.Load()
	if moves == u.saved || u.rebooted && u.doubtful.Load() > 0 { // what is torn must not be forgotten
		return nil
	}
	cp := checkpoint{at: time.Now().UnixNano(), boot: bootID()}
	for i := range u.parts {
		p := &u.parts[i]
		mu := &s.stripes[i%len(s.stripes)]
		mu.Lock()
		cp.parts[i] = partCount{p.blocks.Load(), p.bytes.Load(), s.disk.stamp(i)}
		if p.stale.Load() || tooFresh(cp.parts[i].stamp, time.Now()) {
			cp.parts[i].stamp = 0
		}
		mu.Unlock()
	}
	if err := s.disk.flush(ctx); err != nil {
		return fmt.Errorf("sync blocks: %w", err)
	}
	if err := s.cfg.DB.Set(usageKey, cp.encode(), pebble.Sync); err != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	u.saved = moves
	return nil
}

// tooFresh says that a change after now might leave the same stamp: file systems
// stamp directories by the tick of the kernel's clock, some by whole seconds.
func tooFresh(stamp int64, now time.Time) bool {
	tick := 50 * time.Millisecond
	if stamp%int64(time.Second) == 0 {
		tick = 3 * time.Second
	}
	return stamp > now.Add(-tick).UnixNano()
}

type partCount struct{ blocks, bytes, stamp int64 }

type checkpoint struct {
	at    int64
	boot  string
	parts [shards]partCount
}

func (c *checkpoint) encode() []byte {
	b := []byte{1}
	b = binary.AppendVarint(b, c.at)
	b = binary.AppendUvarint(b, uint64(len(c.boot)))
	b = append(b, c.boot...)
	for _, p := range c.parts {
		b = binary.AppendVarint(b, p.blocks)
		b = binary.AppendVarint(b, p.bytes)
		b = binary.AppendVarint(b, p.stamp)
	}
	return b
}

// decodeCheckpoint reads what encode wrote; anything else is an empty checkpoint,
// after which all parts are counted.
func decodeCheckpoint(b []byte) *checkpoint {
	c := new(checkpoint)
	if len(b) == 0 || b[0] != 1 {
		return c
	}
	b = b[1:]
	next := func() int64 {
		v, n := binary.Varint(b)
		b = b[max(0, n):]
		return v
	}
	c.at = next()
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return new(checkpoint)
	}
	c.boot, b = string(b[used:used+int(n)]), b[used+int(n):]
	for i := range c.parts {
		c.parts[i] = partCount{next(), next(), next()}
	}
	return c
}
