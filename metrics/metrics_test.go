package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/pinset"
)

var update = flag.Bool("update", false, "write the golden file anew")

func full() Sources {
	return Sources{Version: "1.2.3", Commit: "abc",
		State: func() State {
			return State{Pins: 5, Deltas: 7, Height: 3, Heads: 1, Refused: map[string]uint64{"signature": 2}}
		},
		Node: func() Node {
			return Node{Items: map[pinset.Status]uint64{pinset.StatusPinned: 4}, Lent: 100, Used: 30, Reserved: 10, Queued: 1, Later: 2, Moving: 3}
		},
		Exchange: func() *pinset.Exchange {
			return &pinset.Exchange{FromMembers: 21, FromOthers: 22, ToMembers: 23, ToOthers: 24}
		},
		Traffic: func() []Flow { return []Flow{{"gossip", 11, 12}, {"sync", 13, 14}} },
		Agreement: func(context.Context) (pinset.Agreement, error) {
			return pinset.Agreement{Members: 3, Heard: 2, Agree: 1}, nil
		},
		Health: []HealthSource{func(context.Context) []pinset.HealthEntry {
			return []pinset.HealthEntry{{Code: "ipfs-away", Severity: pinset.SeverityError}}
		}},
	}
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// own are the page's lines that are pinfold's, with times left out.
func own(page string) string {
	var out []string
	for line := range strings.Lines(page) {
		if strings.Contains(line, "pinfold_") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// TestGolden fixes names, labels, types and help texts: dashboards depend on them.
func TestGolden(t *testing.T) {
	m := New(full())
	m.Committed(3 * time.Millisecond)
	m.Request("POST", "/pins/{cid}", 200, time.Millisecond)
	m.Request("BREW", "", 405, time.Millisecond)
	got := own(scrape(t, m))
	got = regexp.MustCompile(`(pinfold_commit_seconds_sum) .*`).ReplaceAllString(got, "$1 SUM")
	if *update {
		if err := os.WriteFile("testdata/page.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/page.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-golden +got), refresh with -update\n%s", diff)
	}
}

func TestPageAlsoTellsOfTheProcess(t *testing.T) {
	page := scrape(t, New(Sources{}))
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "pinfold_build_info"} {
		if !strings.Contains(page, name) {
			t.Errorf("no %s", name)
		}
	}
	for _, name := range []string{"pinfold_pins", "pinfold_items", "pinfold_members"} {
		if strings.Contains(page, name) {
			t.Errorf("%s without a source", name)
		}
	}
}

func TestSourceThatFailsCostsItsOwnFigures(t *testing.T) {
	s := full()
	s.Agreement = func(context.Context) (pinset.Agreement, error) { return pinset.Agreement{}, errors.New("away") }
	m := New(s)
	scrape(t, m)
	page := scrape(t, m) // the first failure is seen by the second scrape at the latest
	if strings.Contains(page, "pinfold_members ") || !strings.Contains(page, "pinfold_pins 5") || !strings.Contains(page, `pinfold_scrape_failures_total{source="agreement"}`) {
		t.Error(own(page))
	}
}

func TestLabelsAreFew(t *testing.T) {
	m := New(Sources{})
	for _, method := range []string{"A", "B", "C"} {
		m.Request(method, "", 405, 0)
	}
	if n := strings.Count(scrape(t, m), "pinfold_api_requests_total{"); n != 1 {
		t.Errorf("%d series of made-up methods, want 1", n)
	}
}

func TestSummary(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	in := []pinset.HealthEntry{
		{Code: "b", Severity: pinset.SeverityInfo, Since: at(1)},
		{Code: "c", Severity: pinset.SeverityWarning, Since: at(3)},
		{Code: "d", Severity: pinset.SeverityWarning, Since: at(2)},
		{Code: "e", Severity: pinset.SeverityError, Since: at(9)},
		{Code: "c", Severity: pinset.SeverityWarning, Since: at(3)},
		{Code: "a", Severity: pinset.SeverityWarning, Since: at(2)},
	}
	for _, row := range []struct {
		name  string
		in    []pinset.HealthEntry
		ok    bool
		codes string
	}{
		{"nothing", nil, true, ""},
		{"without errors", in[:3], true, "dcb"},
		{"all", in, false, "eadcb"},
		{"unknown severity first", append([]pinset.HealthEntry{{Code: "z", Severity: "dire"}}, in[0]), true, "zb"},
	} {
		s := Summarise(slices.Clone(row.in))
		codes := ""
		for _, e := range s.Entries {
			codes += e.Code
		}
		if s.OK != row.ok || codes != row.codes {
			t.Errorf("%s: ok %v, %q, want %v, %q", row.name, s.OK, codes, row.ok, row.codes)
		}
	}
}

func TestHealthHandler(t *testing.T) {
	for _, row := range []struct {
		name    string
		sources []HealthSource
		code    int
		body    string
	}{
		{"well", nil, 200, `{"ok":true,"entries":[]}`},
		{"ill", full().Health, 503, `{"ok":false,"entries":[{"code":"ipfs-away","severity":"error","title":""}]}`},
	} {
		w := httptest.NewRecorder()
		New(Sources{Health: row.sources}).HealthHandler().ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
		if got := strings.TrimSpace(w.Body.String()); w.Code != row.code || got != row.body || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", row.name, w.Code, got)
		}
	}
}
