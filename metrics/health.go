package metrics

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// HealthSource tells the faults of one part that are present now.
type HealthSource func(context.Context) []pinset.HealthEntry

// Summary is the answer to "is this peer well".
type Summary struct {
	OK      bool                 `json:"ok"` // no entry is an error
	Entries []pinset.HealthEntry `json:"entries"`
}

// Summarise orders entries by severity, the worst first, then by age, the oldest
// first, then by code, and leaves out repetitions.
func Summarise(entries []pinset.HealthEntry) Summary {
	s := Summary{OK: true, Entries: slices.Clone(entries)}
	slices.SortStableFunc(s.Entries, func(a, b pinset.HealthEntry) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), a.Since.Compare(b.Since), strings.Compare(a.Code, b.Code), strings.Compare(a.Title, b.Title))
	})
	s.Entries = slices.CompactFunc(s.Entries, func(a, b pinset.HealthEntry) bool {
		return a.Code == b.Code && a.Title == b.Title && a.Detail == b.Detail
	})
	for _, e := range s.Entries {
		s.OK = s.OK && e.Severity != pinset.SeverityError
	}
	if s.Entries == nil {
		s.Entries = []pinset.HealthEntry{}
	}
	return s
}

// rank puts an unknown severity with the errors: better seen than hidden.
func rank(s pinset.Severity) int {
	switch s {
	case pinset.SeverityWarning:
		return 1
	case pinset.SeverityInfo:
		return 2
	}
	return 0
}

// Health asks all sources, the worst first. It has the signature of httpapi's
// Health.
func (m *Metrics) Health(ctx context.Context) []pinset.HealthEntry {
	var all []pinset.HealthEntry
	for _, source := range m.sources.Health {
		all = append(all, source(ctx)...)
	}
	return Summarise(all).Entries
}

// HealthHandler answers the Summary as JSON, with 503 when it is not OK: for a
// listener of its own. It tells everything, so the listener must be private.
func (m *Metrics) HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := Summarise(m.Health(r.Context()))
		w.Header().Set("Content-Type", "application/json")
		if !s.OK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(s) // an error is the client's that has gone
	})
}
