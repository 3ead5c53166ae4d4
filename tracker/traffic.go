package tracker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/budget"
)

// Rules are what the owner of a line allows: bytes a day and a month, and the hours
// in which much is fetched.
type Rules = budget.Rules

// Schedule is the windows of each day in which much is fetched.
type Schedule = budget.Schedule

// ParseSchedule reads windows as people write them: "22:00-07:00,12:00-13:30".
func ParseSchedule(s string) (Schedule, error) { return budget.ParseSchedule(s) }

// Traffic counts what the IPFS node fetches for pinfold, and holds it to the rules.
// All trackers of a daemon share one. It is safe for concurrent use.
//
// What is counted is written down every few seconds: that much a crash may forget.
type Traffic struct {
	rules func() Rules
	store ds.Datastore // nil: it is not kept

	mu       sync.Mutex
	spent    budget.Spent
	saved    budget.Spent
	reserved uint64 // bytes that are known to come to fetches under way

	saving sync.Mutex
}

var trafficKey = ds.NewKey("/tracker/traffic")

// OpenTraffic reads what was counted before. The rules are asked again and again.
func OpenTraffic(ctx context.Context, store ds.Datastore, rules func() Rules) (*Traffic, error) {
	f := &Traffic{rules: rules, store: store}
	raw, err := store.Get(ctx, trafficKey)
	switch {
	case errors.Is(err, ds.ErrNotFound):
		return f, nil
	case err == nil:
		err = canon.Unmarshal(raw, &f.spent)
	}
	if err != nil {
		return nil, fmt.Errorf("read traffic: %w", err)
	}
	f.saved = f.spent
	return f, nil
}

// TrafficUse is what was fetched, and whether more may be.
type TrafficUse = budget.Use

// Use returns the present figures.
func (f *Traffic) Use(now time.Time) TrafficUse {
	r := f.rules()
	f.mu.Lock()
	spent := f.spent.At(now)
	f.mu.Unlock()
	a := r.May(now, spent, budget.Ask{Bulk: true})
	return TrafficUse{
		Today: spent.Today, Month: spent.Month, TodayLimit: r.Day, MonthLimit: r.Month, Schedule: r.Schedule.String(), Why: a.Why, Until: a.At,
	}
}

// may says whether a fetch may begin, beside what is promised to others. R may be
// nil: it has not begun.
func (f *Traffic) may(now time.Time, r *run, a budget.Ask) budget.Answer {
	rules := f.rules()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer(now, rules, r, a)
}

// answer is may. The caller holds f.mu.
func (f *Traffic) answer(now time.Time, rules Rules, r *run, a budget.Ask) budget.Answer {
	others := f.reserved
	if r != nil {
		others -= r.promised
	}
	return rules.May(now, f.spent.Plus(now, others), a)
}

// reserve promises r what it needs, if it may have it.
func (f *Traffic) reserve(now time.Time, r *run, a budget.Ask) budget.Answer {
	rules := f.rules()
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.answer(now, rules, r, a)
	if out.Why == "" {
		f.promise(r, min(a.Need, out.Left))
		r.received = 0
	}
	return out
}

// promise sets what is promised to r. The caller holds f.mu.
func (f *Traffic) promise(r *run, bytes uint64) {
	f.reserved += bytes - r.promised
	r.promised = bytes
}

// received notes that r has brought so many bytes since it began, and says why it
// must stop.
func (f *Traffic) received(now time.Time, r *run, bytes uint64) budget.Answer {
	rules := f.rules()
	f.mu.Lock()
	defer f.mu.Unlock()
	if bytes > r.received {
		more := bytes - r.received
		f.spent = f.spent.Plus(now, more)
		f.promise(r, r.promised-min(r.promised, more))
		r.received = bytes
	}
	if r.promised > 0 { // what is promised to it is kept, though others brought too much
		rules.Day, rules.Month = 0, 0
	}
	return rules.Over(now, f.spent.Plus(now, f.reserved), r.received, r.bulk)
}

// over says why a fetch under way must stop.
func (f *Traffic) over(now time.Time, r *run) budget.Answer {
	f.mu.Lock()
	bytes := r.received
	f.mu.Unlock()
	return f.received(now, r, bytes)
}

// settle ends what is promised to r.
func (f *Traffic) settle(r *run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.promise(r, 0)
}

// save writes down what was counted, if it is not what was written last.
func (f *Traffic) save(ctx context.Context) error {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	spent := f.spent
	f.mu.Unlock()
	if spent == f.saved || f.store == nil {
		return nil
	}
	raw, err := canon.Marshal(spent)
	if err == nil {
		err = f.store.Put(ctx, trafficKey, raw)
	}
	if err == nil {
		err = f.store.Sync(ctx, trafficKey)
	}
	if err != nil {
		return fmt.Errorf("write traffic: %w", err)
	}
	f.saved = spent
	return nil
}

// later ends a fetch, or keeps it from beginning, until the rules allow it.
type later struct{ budget.Answer }

func (l *later) Error() string { return l.Why }

// lineHealth says that the limits of the traffic are reached, if they are.
func lineHealth(u TrafficUse) (pinset.HealthEntry, bool) {
	day, month := u.TodayLimit > 0 && u.Today >= u.TodayLimit, u.MonthLimit > 0 && u.Month >= u.MonthLimit
	if !day && !month {
		return pinset.HealthEntry{}, false
	}
	h := pinset.HealthEntry{Code: "traffic-used-up", Severity: pinset.SeverityInfo, Title: "the traffic that may be used is used up; nothing new is fetched",
		Detail: u.String(), Do: "wait, or allow more: pinfold set --traffic-day 50GB --traffic-month 800GB"}
	if !u.Until.IsZero() {
		h.Title += " until " + u.Until.Local().Format("2006-01-02 15:04")
	}
	return h, true
}
