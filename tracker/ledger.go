package tracker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/multiformats/go-multibase"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/pinset"
)

const (
	markLen     = 16  // characters of the daemon's peer id in a mark
	maxNodeName = 255 // bytes that Kubo takes as a pin's name
)

// marker knows the names that this daemon gives to its pins.
type marker string

func (m marker) prefix() string { return "pinfold:" + string(m) + " " }

// name returns the IPFS node's name for a pin called s: the mark and s, cut to
// what Kubo takes at the end of a rune.
func (m marker) name(s string) string {
	s = m.prefix() + strings.ToValidUTF8(s, "")
	if len(s) <= maxNodeName {
		return s
	}
	cut := maxNodeName
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// on says whether a name carries the mark.
func (m marker) on(name string) bool { return strings.HasPrefix(name, m.prefix()) }

// key names an item: the bytes of its CID in version 1.
type key string

func keyOf(c cid.Cid) key { return key(pinset.V1(c).KeyString()) }

// cid returns the item's CID in version 1.
func (k key) cid() cid.Cid {
	c, err := cid.Cast([]byte(k))
	if err != nil {
		panic(err) // keys are made of CIDs only
	}
	return c
}

// text is how the item is spelled in the ledger, and how the pinset orders it.
func (k key) text() string {
	s, err := k.cid().StringOfBase(multibase.Base32)
	if err != nil {
		panic(err) // base32 is always there
	}
	return s
}

func (k key) stripe() int { return (int(k[len(k)-1])<<8 | int(k[len(k)-2])) % 1024 }

// extent is how much of a DAG is wanted, placed or seen.
type extent uint8

const (
	nothing extent = iota
	oneBlock
	wholeDAG
)

func extentOf(m pinset.Mode) extent {
	if m == pinset.Direct {
		return oneBlock
	}
	return wholeDAG
}

func (x extent) mode() pinset.Mode {
	if x == oneBlock {
		return pinset.Direct
	}
	return pinset.Recursive
}

// entry is what the ledger says of one item. Times are Unix milliseconds.
type entry struct {
	V0       bool          `cbor:"v0,omitempty"`   // the node's pin is of the CID in version 0
	Want     extent        `cbor:"want,omitempty"` // what the allocation assigned here
	Binding  bool          `cbor:"bind,omitempty"` // and the copy counts towards the minimum
	Name     string        `cbor:"name,omitempty"` // our pin's exact name at the node, asked for or found
	Placed   extent        `cbor:"have,omitempty"` // what the node confirmed under Name
	Borrowed extent        `cbor:"lend,omitempty"` // what a pin of the node's owner keeps for us
	Owner    string        `cbor:"onam,omitempty"` // and its name
	Interim  extent        `cbor:"intr,omitempty"` // to be kept until others have it, though not assigned
	Seen     bool          `cbor:"seen,omitempty"` // the pinset had a pin of it
	State    pinset.Status `cbor:"st"`
	Since    int64         `cbor:"at"`             // of State
	Size     uint64        `cbor:"size,omitempty"` // bytes of what is held, as counted at the node
	Need     uint64        `cbor:"need,omitempty"` // bytes a fetch is known to take
	Got      uint64        `cbor:"got,omitempty"`  // bytes that fetches brought which did not end well
	Line     bool          `cbor:"line,omitempty"` // put off until Retry by the rules of the line
	Attempts uint64        `cbor:"try,omitempty"`  // failed ones since the last success
	Retry    int64         `cbor:"next,omitempty"`
	Covered  int64         `cbor:"cov,omitempty"`  // since when the grace runs that ends with letting go, 0: not
	CoverBy  uint64        `cbor:"covs,omitempty"` // print of the pins and holders that it runs for
	Error    string        `cbor:"err,omitempty"`
}

// exists says whether the ledger has the item.
func (e entry) exists() bool { return e.State != pinset.StatusUndefined }

// held is what the node keeps for us, by our pin or its owner's.
func (e entry) held() extent { return max(e.Placed, e.Borrowed) }

// nodeName is the name of the pin at the node that keeps it for us.
func (e entry) nodeName() string {
	if e.Placed > nothing {
		return e.Name
	}
	return e.Owner
}

// form is the CID as the node's pin spells it.
func (e entry) form(k key) cid.Cid {
	c := k.cid()
	if e.V0 {
		return cid.NewCidV0(c.Hash())
	}
	return c
}

func (e *entry) become(s pinset.Status, now time.Time) {
	if e.State != s {
		e.State, e.Since = s, now.UnixMilli()
	}
}

// intend notes what the allocation and the pinset say now.
func (e *entry) intend(w want, claims int) {
	e.Want, e.Binding, e.Seen = w.extent, w.binding, e.Seen || claims > 0
	e.Interim = max(e.Interim, w.interim)
	if w.extent >= max(e.held(), e.Interim) { // nothing is held for others
		e.Covered, e.CoverBy, e.Interim = 0, 0, nothing
	}
}

// lettingGo says that it was decided to unpin it.
func (e *entry) lettingGo() bool {
	return e.State == pinset.StatusUnpinQueued || e.State == pinset.StatusUnpinError
}

// change is one item's old and new entry; a new one that does not exist deletes.
type change struct {
	key      key
	old, new entry
}

// ledger is the part of the store that belongs to one cluster. Puts are synced
// when they return; those that arrive during a sync share the next one. Notes are
// written and synced with the next put, or by flush.
type ledger struct {
	store   ds.Batching
	cluster string
	items   ds.Key
	turns   *Turns
	recent  *recent

	commit   sync.Mutex // held while anything is written
	unsynced bool       // guarded by commit: something was written and not synced
	mu       sync.Mutex // guards next
	next     *group
}

type group struct {
	changes []change
	written bool
	err     error
}

var clustersKey = ds.NewKey("/tracker/clusters")

// openLedger returns a cluster's ledger, and makes all clusters that have one in
// the store known to turns.
func openLedger(ctx context.Context, store ds.Batching, cluster string, turns *Turns) (*ledger, error) {
	l := &ledger{store: store, cluster: cluster, items: itemsKey(cluster), turns: turns, recent: newRecent(), next: &group{}}
	if err := store.Put(ctx, clustersKey.ChildString(cluster), []byte{}); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := store.Sync(ctx, clustersKey); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	res, err := store.Query(ctx, query.Query{Prefix: clustersKey.String(), KeysOnly: true})
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	names, err := res.Rest()
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	for _, n := range names {
		turns.meet(n.Key[strings.LastIndexByte(n.Key, '/')+1:])
	}
	return l, nil
}

func itemsKey(cluster string) ds.Key { return ds.NewKey("/tracker/items/" + cluster) }

func (l *ledger) get(ctx context.Context, k key) (entry, error) {
	if e, known := l.recent.get(k); known {
		return e, ctx.Err()
	}
	return getEntry(ctx, l.store, l.items.ChildString(k.text()))
}

func getEntry(ctx context.Context, store ds.Read, at ds.Key) (e entry, err error) {
	b, err := store.Get(ctx, at)
	if errors.Is(err, ds.ErrNotFound) {
		return entry{}, nil
	}
	if err == nil {
		err = canon.Unmarshal(b, &e)
	}
	if err != nil {
		return entry{}, fmt.Errorf("read ledger entry %s: %w", at.Name(), err)
	}
	return e, nil
}

// put writes the changes and syncs them.
func (l *ledger) put(ctx context.Context, changes ...change) error {
	if len(changes) == 0 {
		return nil
	}
	l.mu.Lock()
	g := l.next
	g.changes = append(g.changes, changes...)
	l.mu.Unlock()

	l.commit.Lock()
	defer l.commit.Unlock()
	if !g.written {
		l.mu.Lock()
		l.next = &group{}
		l.mu.Unlock()
		// The group is not only this caller's: its end must not fail the others.
		g.err, g.written = l.write(context.WithoutCancel(ctx), g.changes), true
	}
	return g.err
}

// note takes a change that a crash may undo: one look at the node finds it again.
func (l *ledger) note(ctx context.Context, c change) error {
	if l.recent.note(c) {
		return nil
	}
	l.commit.Lock()
	defer l.commit.Unlock()
	return l.apply(ctx, []change{c})
}

// flush writes and syncs what was noted.
func (l *ledger) flush(ctx context.Context) error {
	l.commit.Lock()
	defer l.commit.Unlock()
	if !l.unsynced && !l.recent.pending() {
		return nil
	}
	return l.write(ctx, nil)
}

func (l *ledger) write(ctx context.Context, changes []change) error {
	if err := l.apply(ctx, changes); err != nil {
		return err
	}
	if err := l.store.Sync(ctx, l.items); err != nil {
		return fmt.Errorf("sync ledger: %w", err)
	}
	l.unsynced = false
	return nil
}

// apply writes the notes and then the changes. The caller holds l.commit.
func (l *ledger) apply(ctx context.Context, changes []change) error {
	all := l.recent.with(changes)
	if len(all) == 0 {
		return nil
	}
	l.unsynced = true
	err := l.batch(ctx, all)
	l.recent.wrote(all, err)
	return err
}

func (l *ledger) batch(ctx context.Context, changes []change) error {
	b, err := l.store.Batch(ctx)
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	for _, c := range changes {
		at := l.items.ChildString(c.key.text())
		if !c.new.exists() {
			err = b.Delete(ctx, at)
		} else {
			var raw []byte
			if raw, err = canon.Marshal(c.new); err == nil {
				err = b.Put(ctx, at, raw)
			}
		}
		if err != nil {
			return fmt.Errorf("write ledger entry %s: %w", at.Name(), err)
		}
	}
	if err := b.Commit(ctx); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

// item is an entry and whose it is.
type item struct {
	key   key
	text  string // of the key
	entry entry
}

// all streams the ledger in the order of key.text(), as it was at the start.
func (l *ledger) all(ctx context.Context) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		if err := l.settle(ctx); err != nil {
			yield(item{}, err)
			return
		}
		res, err := l.store.Query(ctx, query.Query{Prefix: l.items.String(), Orders: []query.Order{query.OrderByKey{}}})
		if err != nil {
			yield(item{}, fmt.Errorf("list ledger: %w", err))
			return
		}
		defer res.Close()
		for {
			r, ok := res.NextSync()
			if !ok {
				return
			}
			it, err := readItem(r)
			if err != nil {
				err = fmt.Errorf("list ledger: %w", err)
			}
			if !yield(it, err) || err != nil {
				return
			}
		}
	}
}

// settle writes what was noted, for who reads the store.
func (l *ledger) settle(ctx context.Context) error {
	l.commit.Lock()
	defer l.commit.Unlock()
	return l.apply(ctx, nil)
}

func readItem(r query.Result) (item, error) {
	if r.Error != nil {
		return item{}, r.Error
	}
	text := r.Key[strings.LastIndexByte(r.Key, '/')+1:]
	c, err := cid.Decode(text)
	if err != nil {
		return item{}, fmt.Errorf("entry %s: %w", r.Key, err)
	}
	it := item{key: keyOf(c), text: text}
	if err := canon.Unmarshal(r.Value, &it.entry); err != nil {
		return item{}, fmt.Errorf("entry %s: %w", r.Key, err)
	}
	return it, nil
}

// others returns what the other clusters of this daemon have in their ledgers
// about an item.
func (l *ledger) others(ctx context.Context, k key) ([]entry, error) {
	var out []entry
	for _, cluster := range l.turns.known() {
		if cluster == l.cluster {
			continue
		}
		e, err := getEntry(ctx, l.store, itemsKey(cluster).ChildString(k.text()))
		if err != nil {
			return nil, err
		}
		if e.exists() {
			out = append(out, e)
		}
	}
	return out, nil
}

// printer makes 64-bit fingerprints of pins for one sweep.
type printer struct{ seed maphash.Seed }

func (p printer) print(c cid.Cid, x extent, name string) uint64 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.WriteString(c.KeyString())
	h.WriteByte(byte(x))
	h.WriteString(name)
	return h.Sum64()
}
