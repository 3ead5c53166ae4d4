package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// pauseFile is in the peer's directory while it is paused, and says until when.
const pauseFile = "paused"

// pauses is whether this peer fetches: its owner can stop that for a while. It
// survives a restart, and is safe for concurrent use.
type pauses struct {
	path string

	mu    sync.Mutex
	until time.Time // zero: not paused
	since time.Time // zero: since before the start
}

// forGood is until when a pause without a time lasts.
func forGood() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

func openPauses(dir Dir) (*pauses, error) {
	p := &pauses{path: dir.path(pauseFile)}
	raw, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if p.until, err = time.Parse(time.RFC3339, strings.TrimSpace(string(raw))); err != nil {
		p.until = forGood() // it was paused: rather quiet than over somebody's traffic
	}
	return p, nil
}

// end is until when no fetch begins; zero or past: they do.
func (p *pauses) end() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until
}

func (p *pauses) set(until time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := writeFile(p.path, []byte(until.UTC().Format(time.RFC3339)+"\n")); err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "pause")
	}
	p.until, p.since = until, time.Now()
	return nil
}

func (p *pauses) clear() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pinset.Wrap(pinset.KindUnavailable, err, "resume")
	}
	p.until, p.since = time.Time{}, time.Time{}
	return nil
}

// Health says that it is paused, so that nobody wonders.
func (p *pauses) Health() []pinset.HealthEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.until.After(time.Now()) {
		return nil
	}
	title := "paused: nothing new is fetched"
	if p.until.Before(forGood()) {
		title += " until " + p.until.Local().Format("2006-01-02 15:04")
	}
	return []pinset.HealthEntry{{Code: "paused", Severity: pinset.SeverityInfo, Title: title, Do: "pinfold resume", Since: p.since}}
}

// Pause begins no fetch for a time, 0: until Resume. What is held stays, is served
// and counts; nobody else takes over, since it is not meant to last.
func (a apiDaemon) Pause(_ context.Context, d time.Duration) error {
	switch {
	case d < 0:
		return pinset.Invalid("pause %s: want a time as in 2h", d)
	case d == 0:
		return a.d.pauses.set(forGood())
	}
	return a.d.pauses.set(time.Now().Add(d))
}

// Resume ends a pause, if there is one.
func (a apiDaemon) Resume(context.Context) error { return a.d.pauses.clear() }
