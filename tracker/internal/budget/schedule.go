package budget

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

const (
	day        = 24 * 60 // minutes
	maxWindows = 24
)

// window is a part of each day, in minutes since midnight. Over midnight, to is
// less than from.
type window struct{ from, to int }

func (w window) has(minute int) bool {
	if w.from < w.to {
		return w.from <= minute && minute < w.to
	}
	return minute >= w.from || minute < w.to
}

// Schedule is the windows of each day in which what is large may be fetched. None:
// all day.
type Schedule struct{ windows []window }

// ParseSchedule reads windows as people write them: "22:00-07:00, 12:00-13:30". "" is
// all day.
func ParseSchedule(s string) (Schedule, error) {
	var out Schedule
	if strings.TrimSpace(s) == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, ok := strings.Cut(part, "-")
		w := window{}
		var ok1, ok2 bool
		w.from, ok1 = parseClock(from)
		w.to, ok2 = parseClock(to)
		if !ok || !ok1 || !ok2 || w.from == day || w.from == w.to {
			return Schedule{}, pinset.Invalid("schedule %q: want windows of the day as in 22:00-07:00 or 01:00-05:00,12:00-13:30", strings.TrimSpace(part))
		}
		out.windows = append(out.windows, w)
	}
	if len(out.windows) > maxWindows {
		return Schedule{}, pinset.Invalid("schedule: %d windows: want at most %d", len(out.windows), maxWindows)
	}
	slices.SortFunc(out.windows, func(a, b window) int { return a.from - b.from })
	return out, nil
}

// parseClock reads 7:00 or 07:00, up to 24:00.
func parseClock(s string) (minute int, ok bool) {
	hh, mm, ok := strings.Cut(strings.TrimSpace(s), ":")
	h, err1 := strconv.ParseUint(hh, 10, 8)
	m, err2 := strconv.ParseUint(mm, 10, 8)
	minute = int(h)*60 + int(m)
	return minute, ok && err1 == nil && err2 == nil && len(hh) <= 2 && len(mm) == 2 && m < 60 && minute <= day
}

// String writes the windows as ParseSchedule reads them.
func (s Schedule) String() string {
	texts := make([]string, len(s.windows))
	for i, w := range s.windows {
		texts[i] = fmt.Sprintf("%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
	}
	return strings.Join(texts, ",")
}

// Open says whether a time is in a window.
func (s Schedule) Open(at time.Time) bool {
	minute := at.Hour()*60 + at.Minute()
	return len(s.windows) == 0 || slices.ContainsFunc(s.windows, func(w window) bool { return w.has(minute) })
}

// Next returns the first time after now when Open says something else; zero: it
// never does.
func (s Schedule) Next(now time.Time) time.Time {
	open := s.Open(now)
	at := now.Truncate(time.Second)
	for range 3 * 2 * maxWindows { // each day has two ends of each window, and what no window sees is a day at most
		if at = s.step(at); s.Open(at) != open {
			return at
		}
	}
	return time.Time{}
}

// step returns the next time at which a window begins or ends, or at which the clock
// on the wall is put forward or back.
func (s Schedule) step(at time.Time) time.Time {
	const whole = 24 * 60 * 60
	second := (at.Hour()*60+at.Minute())*60 + at.Second()
	wait := whole
	for _, w := range s.windows {
		for _, edge := range [...]int{w.from, w.to} {
			if d := (edge*60 - second + 2*whole) % whole; d > 0 {
				wait = min(wait, d)
			}
		}
	}
	next := at.Add(time.Duration(wait) * time.Second)
	if _, end := at.ZoneBounds(); !end.IsZero() && end.Before(next) {
		return end
	}
	return next
}
