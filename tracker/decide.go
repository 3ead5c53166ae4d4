package tracker

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/budget"
)

// facts is all that a decision about one item rests on.
type facts struct {
	key     key
	want    want
	claims  int     // pins of the CID in the pinset, of all owners
	entry   entry   // what the ledger says; zero: nothing
	node    present // what the IPFS node shows
	shared  bool    // the name that the node shows is in another cluster's ledger of this daemon
	claimed bool    // another cluster of this daemon has the item in its ledger
	covered bool    // others cover every pin of which we hold a copy and shall not
	coverBy uint64  // print of those pins and of who shall hold them
	broken  bool    // our pin is there, and blocks below it are not
	fetched bool    // the IPFS node has just said that it pinned it for us, and Size was counted
	room    room
	line    budget.Answer // whether a fetch may begin, by the rules of the line
	mark    marker
	grace   time.Duration
}

// want is what the allocation assigns to this member, over all pins of one CID.
type want struct {
	extent  extent
	interim extent // to be held for a while in place of members that are away
	binding bool
	rank    int    // the best of its places among the holders
	v0      bool   // the CID was typed in version 0
	name    string // of our pin at the node, with the mark
	need    uint64 // bytes that are known to come, 0: not known
	party   string // whose pin it is that is most urgent
	class   pinset.Priority
}

// present is a root pin as the IPFS node shows it.
type present struct {
	extent extent
	name   string
}

// verb is what to do about an item.
type verb uint8

const (
	rest   verb = iota // as it should be: write the entry down
	keep               // held on for now, look again at action.at
	fetch              // pin at the node
	letGo              // unpin at the node, then decide anew
	forget             // nothing of ours is at the node: drop the entry
	refuse             // not possible now: the entry says why
)

func (v verb) String() string {
	return [...]string{"rest", "keep", "fetch", "let go", "forget", "refuse"}[v]
}

// action is what decide wants done, and the entry that then holds. For fetch and
// letGo the entry is written before the node is asked.
type action struct {
	verb  verb
	entry entry
	mode  pinset.Mode // for fetch and letGo
	at    time.Time   // for keep: when to decide anew
	ended bool        // a fetch or a letting go was not possible; the entry says why
}

// decide says what to do about one item. It is a pure function.
func decide(now time.Time, f facts) action {
	e := &f.entry
	known := e.exists()
	e.intend(f.want, f.claims)
	ours := f.node.extent > nothing && f.mark.on(f.node.name) && (f.node.name == e.Name || f.shared)
	target, at := retain(now, &f, ours)
	if target == f.want.extent && !ours {
		e.Interim = nothing // nothing of ours is left to be kept for others
	}
	switch {
	case target == nothing && (!ours || f.claimed || !known):
		return action{verb: forget}
	case target == nothing:
		return release(now, &f)
	case ours && f.node.extent >= target && !f.broken:
		return hold(now, &f, target, at)
	case !ours && f.node.extent >= target:
		return borrow(now, &f, at)
	case !ours && f.want.extent > nothing && f.node.extent >= f.want.extent:
		e.Interim = nothing // what was held beyond that, the owner has replaced
		return borrow(now, &f, at)
	}
	miss(now, &f, target, ours)
	if f.node.extent > nothing && !ours {
		return refused(now, &f, obstructed)
	}
	return bring(now, &f, target)
}

// retain returns how much is to be held, which is more than what is wanted while
// others do not cover what we hold; then also when to look at that again.
func retain(now time.Time, f *facts, ours bool) (extent, time.Time) {
	e := &f.entry
	held := max(e.held(), e.Interim)
	if ours {
		held = max(held, f.node.extent) // also if a crash came before the ledger knew
	}
	switch {
	case held <= f.want.extent:
		e.Covered, e.CoverBy, e.Interim = 0, 0, nothing
		return f.want.extent, time.Time{}
	case e.lettingGo() && !ours && f.want.interim == nothing: // decided before, and done
		return f.want.extent, time.Time{}
	case f.claims == 0 && (e.Seen || e.Interim == nothing):
		return f.want.extent, time.Time{}
	case f.claims > 0 && !f.covered:
		e.Covered, e.CoverBy = 0, 0
		return held, time.Time{}
	case f.claims > 0 && f.node.extent == nothing: // others have it, and nothing is here
		return f.want.extent, time.Time{}
	}
	// Others cover it, or it was brought in a moment ago and the pin is on its way
	// into the pinset.
	// For other pins or holders it runs anew, and when the clock has gone back.
	if e.Covered == 0 || e.CoverBy != f.coverBy || e.Covered > now.UnixMilli() {
		e.Covered, e.CoverBy = now.UnixMilli(), f.coverBy
	}
	if end := time.UnixMilli(e.Covered).Add(f.grace); now.Before(end) {
		return held, end
	}
	return f.want.extent, time.Time{}
}

// hold: our pin is there and is enough.
func hold(now time.Time, f *facts, target extent, at time.Time) action {
	e := &f.entry
	if (f.fetched || e.Placed == nothing) && target == f.want.extent && !f.shared && f.room.over(e.Size) {
		e.Need = max(e.Need, e.Size)
		e.Error = f.room.reason(e.Need)
		e.become(pinset.StatusRefused, now)
		return release(now, f)
	}
	e.Placed, e.Name, e.Borrowed, e.Owner = f.node.extent, f.node.name, nothing, ""
	e.Attempts, e.Retry, e.Error, e.Need, e.Got, e.Line = 0, 0, "", 0, 0, false
	if target == f.want.extent && f.node.extent > target && !f.claimed && !f.shared {
		return release(now, f) // a DAG is held, only its root is wanted
	}
	e.become(pinset.StatusPinned, now)
	if target > f.want.extent {
		return action{verb: keep, entry: *e, at: at}
	}
	e.Interim = nothing
	return action{verb: rest, entry: *e}
}

// borrow: a pin of the node's owner is there and is enough.
func borrow(now time.Time, f *facts, at time.Time) action {
	e := &f.entry
	e.Placed, e.Size, e.Borrowed, e.Owner = nothing, 0, f.node.extent, f.node.name
	e.Attempts, e.Retry, e.Error, e.Need, e.Got, e.Line = 0, 0, "", 0, 0, false
	e.become(pinset.StatusPinned, now)
	if f.want.extent == nothing {
		return action{verb: keep, entry: *e, at: at}
	}
	return action{verb: rest, entry: *e}
}

// miss notes what the node no longer has of what it had for us.
func miss(now time.Time, f *facts, target extent, ours bool) {
	e := &f.entry
	placed, borrowed := f.node.extent, nothing
	if !ours {
		placed, borrowed = nothing, f.node.extent
	}
	if target > f.want.extent {
		e.Interim = target
	}
	switch {
	case e.held() <= f.node.extent && e.Placed <= placed:
	case e.Placed > placed && !e.lettingGo():
		e.become(pinset.StatusUnexpected, now)
		e.Error = "the IPFS node no longer has the pin that was placed there"
	default:
		e.become(pinset.StatusQueued, now) // let go by us, or taken away by the owner whose pin served us
		e.Error = ""
	}
	if e.Placed > placed {
		e.Need, e.Size = max(e.Need, e.Size), 0
	}
	e.Placed, e.Borrowed, e.Owner = min(e.Placed, placed), borrowed, ""
	if borrowed > nothing {
		e.Owner = f.node.name
	}
}

const obstructed = "the owner of the IPFS node has pinned this block directly; a recursive pin would replace that pin"

func refused(now time.Time, f *facts, why string) action {
	f.entry.become(pinset.StatusRefused, now)
	f.entry.Error, f.entry.Line = why, false
	f.entry.Retry = now.Add(jitter(f.key, f.entry.Attempts, refusedTime)).UnixMilli()
	return action{verb: refuse, entry: f.entry}
}

// deferred returns the entry of a fetch that the rules of the line put off: refused
// where the limits do, queued where it is not its time of the day. It is a pure
// function.
func deferred(now time.Time, k key, e entry, why budget.Answer) entry {
	switch {
	case why.Traffic:
		e.become(pinset.StatusRefused, now)
	case e.State != pinset.StatusUnexpected:
		e.become(pinset.StatusQueued, now)
	}
	e.Error, e.Line = why.Why, true
	e.Retry = why.At.Add(jitter(k, e.Attempts, deferredSpread)).UnixMilli()
	if why.At.IsZero() { // not under these rules
		e.Retry = now.Add(jitter(k, e.Attempts, refusedTime)).UnixMilli()
	}
	return e
}

// release unpins what is ours and shown under our name.
func release(now time.Time, f *facts) action {
	e := &f.entry
	e.Name = f.node.name
	if e.State != pinset.StatusRefused {
		e.become(pinset.StatusUnpinQueued, now)
	}
	return action{verb: letGo, entry: *e, mode: f.node.extent.mode()}
}

// bring: it is not there, or only its root is and that by us.
func bring(now time.Time, f *facts, target extent) action {
	e := &f.entry
	switch e.State {
	case pinset.StatusWaiting, pinset.StatusPinError, pinset.StatusUnexpected, pinset.StatusRefused:
	default:
		e.become(pinset.StatusQueued, now)
		e.Error = ""
	}
	e.Need = max(e.Need, f.want.need)
	if why := f.room.refusal(e.Need, e.Binding); why != "" {
		return refused(now, f, why)
	}
	if f.line.Why != "" {
		return action{verb: refuse, entry: deferred(now, f.key, *e, f.line)}
	}
	if e.State == pinset.StatusRefused {
		e.become(pinset.StatusQueued, now)
		e.Error = ""
	}
	e.Line = false
	if e.Name == "" {
		// A name once written is kept: a fetch under it may still be on its way.
		e.Name, e.V0 = f.want.name, f.want.v0
	}
	return action{verb: fetch, entry: *e, mode: target.mode()}
}

// room is the space as it was when a decision is made, in bytes.
type room struct {
	lent    uint64
	used    uint64 // by what is held and what is being fetched, without this item
	ahead   uint64 // wanted by copies that count and wait for their turn
	free    uint64 // on the file system; meaningless unless known
	reserve uint64 // that shall stay free
	known   bool
}

// over says whether size more bytes are too many.
func (r room) over(size uint64) bool { return r.used > r.lent || size > r.lent-r.used }

func (r room) reason(need uint64) string {
	if need == 0 {
		return fmt.Sprintf("all of the %s lent here are used", pinset.FormatSize(r.lent))
	}
	return fmt.Sprintf("needs %s, and %s of the %s lent here are used",
		pinset.FormatSize(need), pinset.FormatSize(r.used), pinset.FormatSize(r.lent))
}

// refusal says why need more bytes (0: not known) may not come in, or "".
func (r room) refusal(need uint64, binding bool) string {
	switch {
	case r.over(max(need, 1)):
		return r.reason(need)
	case !binding && (r.used+r.ahead < r.ahead || r.used+r.ahead > r.lent || max(need, 1) > r.lent-r.used-r.ahead):
		return "the room that is left here is kept for copies that count towards the minimum"
	case r.known && (r.free < r.reserve || need > r.free-r.reserve):
		return fmt.Sprintf("the disk has %s free, of which %s are kept in reserve",
			pinset.FormatSize(r.free), pinset.FormatSize(r.reserve))
	}
	return ""
}

// Why we end a fetch ourselves.
var (
	errStalled  = errors.New("no progress: nobody was found who provides it")
	errOverLent = errors.New("would go over the lent bytes")
	errReserve  = errors.New("would go into the reserve of the disk")
	errUnwanted = errors.New("no longer wanted")
)

// Backoff of what failed. Refusals are looked at again at this interval at the
// latest; room that appears is noticed earlier.
const (
	errorBase      = 5 * time.Second
	waitingBase    = time.Minute
	backoffMost    = time.Hour // also for what nobody provides: a split may have ended
	refusedTime    = 15 * time.Minute
	deferredSpread = time.Minute // what is put off until one moment does not come back all at once
	maxError       = 300         // bytes of a message in the ledger
)

// failure is how a fetch ended.
type failure struct {
	why error
	got uint64 // bytes that it fetched
}

// failed returns the entry after its fetch ended. It is a pure function.
func failed(now time.Time, k key, e entry, f failure) entry {
	e.Got = max(e.Got, f.got)
	var put *later
	switch {
	case errors.As(f.why, &put):
		return deferred(now, k, e, put.Answer)
	case errors.Is(f.why, errUnwanted):
		return e
	case errors.Is(f.why, errOverLent), errors.Is(f.why, errReserve):
		e.become(pinset.StatusRefused, now)
		e.Need = max(e.Need, f.got)
		e.Error = "stopped after " + pinset.FormatSize(f.got) + ": it " + limitOf(f.why).Error()
		e.Retry = now.Add(jitter(k, e.Attempts, refusedTime)).UnixMilli()
		return e
	case errors.Is(f.why, errStalled):
		e.become(pinset.StatusWaiting, now)
		e.Retry = now.Add(backoff(k, e.Attempts, waitingBase, backoffMost)).UnixMilli()
	default:
		e.become(pinset.StatusPinError, now)
		e.Retry = now.Add(backoff(k, e.Attempts, errorBase, backoffMost)).UnixMilli()
	}
	e.Attempts++
	e.Error = clip(f.why.Error())
	return e
}

func limitOf(err error) error {
	if errors.Is(err, errReserve) {
		return errReserve
	}
	return errOverLent
}

// unpinFailed returns the entry after letting go failed.
func unpinFailed(now time.Time, k key, e entry, err error) entry {
	e.become(pinset.StatusUnpinError, now)
	e.Retry = now.Add(backoff(k, e.Attempts, errorBase, backoffMost)).UnixMilli()
	e.Attempts++
	e.Error = clip(err.Error())
	return e
}

// backoff doubles with each attempt up to most, and spreads.
func backoff(k key, attempts uint64, base, most time.Duration) time.Duration {
	d := most
	if attempts < 16 { // beyond it would overflow
		d = min(most, base<<attempts)
	}
	return jitter(k, attempts, d)
}

// jitter spreads d over three quarters to five quarters of it, by the item and
// the attempt, so that what failed together does not come back together.
func jitter(k key, attempts uint64, d time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(k))
	h.Write([]byte{byte(attempts), byte(attempts >> 8)})
	return d*3/4 + time.Duration(uint64(d/2)*uint64(h.Sum32()>>16)>>16)
}

func clip(s string) string {
	if len(s) <= maxError {
		return s
	}
	return strings.ToValidUTF8(s[:maxError], "")
}
