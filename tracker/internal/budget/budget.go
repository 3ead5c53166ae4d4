package budget

import (
	"fmt"
	"math"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Small is how much may be fetched of one item outside the schedule's windows, in
// bytes.
const Small = 64 << 20

// Rules are what the owner of a line allows. The zero value allows everything.
type Rules struct {
	Day, Month uint64    // bytes fetched; 0: no limit
	Schedule   Schedule  // of what is not small
	Paused     time.Time // nothing begins before
}

// PerDay is how many bytes a day may be fetched for long; 0: no limit.
func (r Rules) PerDay() uint64 {
	const month = 30 // days
	switch {
	case r.Month == 0:
		return r.Day
	case r.Day == 0:
		return max(1, r.Month/month)
	}
	return max(1, min(r.Day, r.Month/month))
}

// Spent is what was fetched on the last day on which something was, and in its
// month.
type Spent struct {
	Date  int64  `cbor:"date"` // days since 1970-01-01 on the calendar on the wall
	Today uint64 `cbor:"day"`  // bytes
	Month uint64 `cbor:"month"`
}

// At returns what of it counts at another time. A day that comes back, as when the
// clocks are put back at midnight, is the one that was left.
func (s Spent) At(now time.Time) Spent {
	date := dateOf(now)
	if date == s.Date || date == s.Date-1 {
		return s
	}
	next := Spent{Date: date}
	if a, b := calendar(date), calendar(s.Date); a.Year() == b.Year() && a.Month() == b.Month() {
		next.Month = s.Month
	}
	return next
}

// Plus returns it with more bytes fetched now.
func (s Spent) Plus(now time.Time, bytes uint64) Spent {
	s = s.At(now)
	s.Today, s.Month = add(s.Today, bytes), add(s.Month, bytes)
	return s
}

func add(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}

func dateOf(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

func calendar(date int64) time.Time { return time.Unix(date*86400, 0).UTC() }

// start returns when a day begins in a location, also where no clock shows its
// midnight.
func start(date int64, in *time.Location) time.Time {
	c := calendar(date)
	t := time.Date(c.Year(), c.Month(), c.Day(), 0, 0, 0, 0, in)
	for dateOf(t) < date {
		t = t.Add(15 * time.Minute)
	}
	return t
}

// Ask is a fetch that would begin.
type Ask struct {
	Need uint64 // bytes still to come, 0: not known
	Bulk bool   // it can wait for a window of the schedule
}

// Answer says whether it may. Why is "" if so.
type Answer struct {
	Left    uint64    // bytes that it may fetch now
	Why     string    // it may not
	At      time.Time // when it may be asked again with hope; zero: never, under these rules
	Traffic bool      // because of the limits, not because of the time of the day
}

// May says whether a fetch may begin now, after so much was spent.
func (r Rules) May(now time.Time, spent Spent, a Ask) Answer {
	spent = spent.At(now)
	if r.Paused.After(now) {
		return Answer{Why: "paused", At: r.Paused}
	}
	l := r.tightest(now, spent)
	open := r.Schedule.Open(now)
	switch {
	case !open && (a.Bulk || a.Need > Small):
		return Answer{Why: fmt.Sprintf("waits for the hours in which much is fetched (%s)", r.Schedule), At: r.Schedule.Next(now)}
	case r.Month > 0 && a.Need > r.Month:
		return Answer{Traffic: true, Why: fmt.Sprintf("needs %s, more than the %s that may be fetched in a month",
			pinset.FormatSize(a.Need), pinset.FormatSize(r.Month))}
	case l.left == 0:
		return Answer{Traffic: true, At: l.renewed, Why: fmt.Sprintf("the %s that may be fetched in a %s are used up",
			pinset.FormatSize(l.most), l.period)}
	case a.Need > l.left && a.Need <= l.most:
		return Answer{Traffic: true, At: l.renewed, Why: fmt.Sprintf("needs %s, and %s of the %s that may be fetched in a %s are left",
			pinset.FormatSize(a.Need), pinset.FormatSize(l.left), pinset.FormatSize(l.most), l.period)}
	}
	if !open {
		l.left = min(l.left, Small)
	}
	return Answer{Left: l.left}
}

// limit is one of the limits, and how it stands.
type limit struct {
	most, left uint64
	period     string
	renewed    time.Time
}

// tightest returns the limit of which the least is left.
func (r Rules) tightest(now time.Time, spent Spent) limit {
	out := limit{most: math.MaxUint64, left: math.MaxUint64}
	if r.Day > 0 {
		out = limit{r.Day, r.Day - min(r.Day, spent.Today), "day", start(spent.Date+1, now.Location())}
	}
	if left := r.Month - min(r.Month, spent.Month); r.Month > 0 && left < out.left {
		c := calendar(spent.Date)
		first := time.Date(c.Year(), c.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		out = limit{r.Month, left, "month", start(first.Unix()/86400, now.Location())}
	}
	return out
}

// Over says why a fetch that has brought so many bytes must stop, as May does.
func (r Rules) Over(now time.Time, spent Spent, brought uint64, bulk bool) Answer {
	r.Paused = time.Time{} // what has begun goes on
	spent = spent.At(now)
	switch {
	case r.Day > 0 && spent.Today > r.Day, r.Month > 0 && spent.Month > r.Month:
		return r.May(now, spent, Ask{})
	case !r.Schedule.Open(now) && (bulk || brought > Small):
		return r.May(now, spent, Ask{Bulk: true})
	}
	return Answer{}
}
