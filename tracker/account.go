package tracker

import (
	"context"
	"sync"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// statTime is how long an answer about the disk is good enough.
const statTime = 5 * time.Second

// account counts bytes and items. Everything held is counted as the ledger has
// it; what is being fetched is reserved beside it.
type account struct {
	lent  func() uint64 // bytes this cluster may use
	spare uint64        // bytes of the file system that stay free

	mu       sync.Mutex
	used     uint64 // bytes of what is placed
	reserved uint64 // bytes that running fetches need or have brought
	items    [pinset.StatusClusterError + 1]uint64
	assigned uint64 // items that are assigned and held
	bytes    uint64 // of those
	borrowed uint64
	interim  uint64
	doubt    map[key]entry // entries before a put whose outcome is not known

	stat   pinset.RepoStat
	statAt time.Time
	come   uint64 // bytes that fetches said have come since stat
	known  bool   // the node has once told its free space
}

// load counts an entry that was there at the start.
func (a *account) load(e entry) { a.apply("", entry{}, e) }

// apply books that an item's entry changed.
func (a *account) apply(k key, old, now entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.doubt, k)
	a.book(old, -1)
	a.book(now, 1)
}

// book adds n times an entry; unsigned numbers wrap and come back.
func (a *account) book(e entry, n int) {
	if !e.exists() {
		return
	}
	m := uint64(n)
	a.items[e.State] += m
	if e.Placed > nothing {
		a.used += m * e.Size
	}
	if e.Want > nothing && e.held() >= e.Want {
		a.assigned += m
		a.bytes += m * e.Size
	}
	if e.Borrowed > nothing {
		a.borrowed += m
	}
	if e.held() > e.Want {
		a.interim += m
	}
}

// unsure remembers what was booked for an item whose entry may have changed.
func (a *account) unsure(k key, old entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.doubt == nil {
		a.doubt = map[key]entry{}
	}
	if _, ok := a.doubt[k]; !ok {
		a.doubt[k] = old
	}
}

// resolve books what the ledger turned out to have.
func (a *account) resolve(k key, e entry) {
	a.mu.Lock()
	old, ok := a.doubt[k]
	a.mu.Unlock()
	if ok {
		a.apply(k, old, e)
	}
}

// reserve sets need bytes aside for r, if they are there.
func (a *account) reserve(r *run, need uint64) bool {
	lent := a.lent()
	a.mu.Lock()
	defer a.mu.Unlock()
	others := a.reserved - r.reserved // it may have fetched before in this turn
	if (room{lent: lent, used: a.used + others}).over(max(need, 1)) {
		return false
	}
	r.reserved = need
	a.reserved = others + need
	return true
}

// grow notes that r has brought so many bytes, and says whether that is still
// within the lent ones.
func (a *account) grow(r *run, bytes uint64) bool {
	lent := a.lent()
	a.mu.Lock()
	defer a.mu.Unlock()
	if bytes > r.reserved {
		a.reserved += bytes - r.reserved
		r.reserved = bytes
	}
	if bytes > r.come {
		a.come += bytes - r.come
		r.come = bytes
	}
	return a.used+a.reserved <= lent
}

// settle ends r's reservation.
func (a *account) settle(r *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reserved -= r.reserved
	r.reserved = 0
}

// room returns the space there is for an item, not counting what r or the ledger
// hold for it already.
func (a *account) room(r *run, e entry) room {
	lent := a.lent()
	a.mu.Lock()
	defer a.mu.Unlock()
	used := a.used + a.reserved
	if r != nil {
		used -= r.reserved
	}
	if e.Placed > nothing {
		used -= min(used, e.Size)
	}
	return room{lent: lent, used: used, free: a.stat.Free, known: a.known, reserve: a.spare}
}

// diskSource answers about the disk.
type diskSource interface {
	RepoStat(ctx context.Context) (pinset.RepoStat, error)
}

// fresh says whether the last answer about the disk is good enough.
func (a *account) fresh() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.statAt.IsZero() && time.Since(a.statAt) < statTime
}

// refresh asks about the disk again when the last answer is old.
func (a *account) refresh(ctx context.Context, disk diskSource) error {
	a.mu.Lock()
	fresh := !a.statAt.IsZero() && time.Since(a.statAt) < statTime
	if !fresh {
		a.statAt = time.Now() // the others need not ask too
	}
	a.mu.Unlock()
	if fresh {
		return nil
	}
	stat, err := disk.RepoStat(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// 0 is "not known", unless it was known before: then the disk is full.
	a.stat, a.known, a.come = stat, a.known || stat.Free > 0, 0
	return nil
}

// mayBeScarce says whether the disk is below its reserve if all that was said to
// come since the last look is new to it.
func (a *account) mayBeScarce() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known && a.stat.Free-min(a.stat.Free, a.come) < a.spare
}

// doubtDisk makes the next refresh ask, but for an answer of just now.
func (a *account) doubtDisk() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.statAt) > time.Second {
		a.statAt = time.Time{}
	}
}

// scarce says whether the disk is below its reserve.
func (a *account) scarce() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known && a.stat.Free < a.spare
}

// left is how many of the lent bytes are neither used nor reserved.
func (a *account) left() uint64 {
	lent := a.lent()
	a.mu.Lock()
	defer a.mu.Unlock()
	return lent - min(lent, a.used+a.reserved)
}
