package budget

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const gb = uint64(1e9)

func schedule(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMay(t *testing.T) {
	now := time.Date(2026, 1, 31, 15, 0, 0, 0, time.UTC)
	tonight := time.Date(2026, 1, 31, 22, 0, 0, 0, time.UTC)
	tomorrow := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	spent := func(today, month uint64) Spent { return Spent{Date: dateOf(now), Today: today, Month: month} }
	night := schedule(t, "22:00-07:00")
	for _, tc := range []struct {
		name    string
		rules   Rules
		spent   Spent
		ask     Ask
		left    uint64
		why     string // a part of it, "": it may
		at      time.Time
		traffic bool
	}{
		{"no rules", Rules{}, spent(9*gb, 9*gb), Ask{Need: 100 * gb}, math.MaxUint64, "", time.Time{}, false},
		{"it fits", Rules{Day: 20 * gb}, spent(5*gb, 5*gb), Ask{Need: 15 * gb}, 15 * gb, "", time.Time{}, false},
		{"one byte too many", Rules{Day: 20 * gb}, spent(5*gb, 5*gb), Ask{Need: 15*gb + 1}, 0, "15 GB of the 20 GB that may be fetched in a day", tomorrow, true},
		{"used up", Rules{Day: 20 * gb}, spent(20*gb, 20*gb), Ask{}, 0, "in a day are used up", tomorrow, true},
		{"used up yesterday", Rules{Day: 20 * gb}, Spent{Date: dateOf(now) - 1, Today: 20 * gb, Month: 20 * gb}, Ask{}, 20 * gb, "", time.Time{}, false},
		{"the month is tighter", Rules{Day: 20 * gb, Month: 400 * gb}, spent(gb, 399*gb), Ask{Need: 2 * gb}, 0, "1 GB of the 400 GB that may be fetched in a month", tomorrow, true},
		{"more than a day, bit by bit", Rules{Day: 20 * gb}, spent(5*gb, 5*gb), Ask{Need: 50 * gb}, 15 * gb, "", time.Time{}, false},
		{"more than a month", Rules{Day: 20 * gb, Month: 40 * gb}, spent(0, 0), Ask{Need: 50 * gb}, 0, "more than the 40 GB", time.Time{}, true},
		{"of unknown size", Rules{Day: 20 * gb}, spent(19*gb, 19*gb), Ask{}, gb, "", time.Time{}, false},
		{"paused", Rules{Paused: tonight}, spent(0, 0), Ask{}, 0, "paused", tonight, false},
		{"was paused", Rules{Paused: now}, spent(0, 0), Ask{}, math.MaxUint64, "", time.Time{}, false},
		{"bulk by day", Rules{Schedule: night}, spent(0, 0), Ask{Need: 1, Bulk: true}, 0, "22:00-07:00", tonight, false},
		{"large by day", Rules{Schedule: night}, spent(0, 0), Ask{Need: Small + 1}, 0, "22:00-07:00", tonight, false},
		{"small by day", Rules{Schedule: night}, spent(0, 0), Ask{Need: Small}, Small, "", time.Time{}, false},
		{"of unknown size by day", Rules{Schedule: night, Day: gb}, spent(gb-5, gb-5), Ask{}, 5, "", time.Time{}, false},
	} {
		got := tc.rules.May(now, tc.spent, tc.ask)
		if got.Left != tc.left || (got.Why == "") != (tc.why == "") || !strings.Contains(got.Why, tc.why) || !got.At.Equal(tc.at) || got.Traffic != tc.traffic {
			t.Errorf("%s: %+v; want left %d, why %q, at %s, traffic %v", tc.name, got, tc.left, tc.why, tc.at, tc.traffic)
		}
	}
}

func TestOver(t *testing.T) {
	now := time.Date(2026, 1, 10, 15, 0, 0, 0, time.UTC)
	spent := Spent{Date: dateOf(now), Today: 20 * gb, Month: 20 * gb}
	night := schedule(t, "22:00-07:00")
	for _, tc := range []struct {
		name    string
		rules   Rules
		brought uint64
		bulk    bool
		stop    bool
	}{
		{"no rules", Rules{}, 20 * gb, true, false},
		{"up to the line", Rules{Day: 20 * gb}, 20 * gb, true, false},
		{"over the line", Rules{Day: 20*gb - 1}, 20 * gb, true, true},
		{"over the month's", Rules{Day: 30 * gb, Month: 20*gb - 1}, 20 * gb, true, true},
		{"paused meanwhile", Rules{Paused: now.Add(time.Hour)}, 20 * gb, true, false},
		{"the night is over", Rules{Schedule: night}, 1, true, true},
		{"small by day", Rules{Schedule: night}, Small, false, false},
		{"no longer small by day", Rules{Schedule: night}, Small + 1, false, true},
	} {
		if got := tc.rules.Over(now, spent, tc.brought, tc.bulk); (got.Why != "") != tc.stop || tc.stop && got.At.IsZero() {
			t.Errorf("%s: %+v, want a stop: %v", tc.name, got, tc.stop)
		}
	}
}

func TestDaysBeginAlsoWhereMidnightIsNot(t *testing.T) {
	saoPaulo, apia := place(t, "America/Sao_Paulo"), place(t, "Pacific/Apia")
	for _, tc := range []struct {
		in         *time.Location
		now, begin string
	}{
		{time.UTC, "2026-02-28T13:00:00Z", "2026-03-01T00:00:00Z"},
		{saoPaulo, "2018-11-03T23:59:59-03:00", "2018-11-04T01:00:00-02:00"}, // its midnight was skipped
		{saoPaulo, "2018-02-17T20:00:00-02:00", "2018-02-18T00:00:00-03:00"}, // the hour before midnight came twice
		{apia, "2011-12-29T20:00:00-10:00", "2011-12-31T00:00:00+14:00"},     // a day was skipped
	} {
		now, err := time.Parse(time.RFC3339, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		full := Spent{}.Plus(now.In(tc.in), gb)
		if got := (Rules{Day: gb}).May(now.In(tc.in), full, Ask{}).At.Format(time.RFC3339); got != tc.begin {
			t.Errorf("after %s the day begins at %s, want %s", tc.now, got, tc.begin)
		}
	}
}

func TestPerDay(t *testing.T) {
	for _, tc := range []struct{ day, month, want uint64 }{
		{0, 0, 0}, {20, 0, 20}, {0, 300, 10}, {20, 300, 10}, {5, 300, 5}, {0, 29, 1},
	} {
		if got := (Rules{Day: tc.day, Month: tc.month}).PerDay(); got != tc.want {
			t.Errorf("%d a day and %d a month are %d a day for long, want %d", tc.day, tc.month, got, tc.want)
		}
	}
}

// Who asks before each fetch and stops when told never gets above a limit on any
// day, and what is counted is what a list of all that was ever fetched says.
func TestSpentAgainstAListOfAllThatWasFetched(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		in := place(t, []string{"UTC", "Europe/Berlin", "America/Sao_Paulo"}[rnd.IntN(3)])
		r := Rules{Day: 1 + rnd.Uint64N(1000), Month: rnd.Uint64N(8000)}
		now := time.Unix(1_500_000_000+rnd.Int64N(100_000_000), 0).In(in)
		days, months := map[string]uint64{}, map[string]uint64{}
		var spent Spent
		for range 400 {
			now = now.Add(time.Duration(rnd.Int64N(int64(6 * time.Hour))))
			d, m := now.Format("2006-01-02"), now.Format("2006-01")
			need := 1 + rnd.Uint64N(400)
			left := r.Day - days[d]
			if r.Month > 0 {
				left = min(left, r.Month-months[m])
			}
			got := r.May(now, spent, Ask{Need: need})
			if got.Why == "" && got.Left != left || got.Why == "" && left == 0 || got.Why != "" && need <= left {
				t.Fatalf("%+v, %+v at %s: %+v for %d, while the list has %d left", r, spent, now, got, need, left)
			}
			if got.Why != "" {
				if !got.At.IsZero() && got.At.Format("2006-01-02") == d {
					t.Fatalf("at %s it is to be asked again at %s, which is the same day", now, got.At)
				}
				continue
			}
			bytes := min(need, got.Left)
			spent = spent.Plus(now, bytes)
			days[d] += bytes
			months[m] += bytes
			if is := fmt.Sprint(spent.Today, spent.Month); is != fmt.Sprint(days[d], months[m]) {
				t.Fatalf("at %s counted %s, the list has %d and %d", now, is, days[d], months[m])
			}
			if o := r.Over(now, spent, bytes, false); o.Why != "" {
				t.Fatalf("at %s within the limits and stopped: %+v", now, o)
			}
		}
	}
}
