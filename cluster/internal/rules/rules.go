package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Of lists a policy key by key.
func Of(p identity.Policy) []pinset.Rule {
	var out []pinset.Rule
	for _, r := range rules() {
		out = append(out, pinset.Rule{Key: r.key, Value: r.text(p), Doc: r.doc})
	}
	return out
}

// Change returns p with some keys changed. KindInvalid names key and value.
func Change(p identity.Policy, changes map[string]string) (identity.Policy, error) {
	left := maps.Clone(changes)
	var keys []string
	for _, r := range rules() {
		keys = append(keys, r.key)
		text, ok := changes[r.key]
		if !ok {
			continue
		}
		delete(left, r.key)
		if err := r.set(&p, text); err != nil {
			return p, pinset.Invalid("policy: %s: %v", r.key, err)
		}
	}
	if unknown := slices.Sorted(maps.Keys(left)); len(unknown) > 0 {
		e := pinset.Invalid("policy: unknown key %q: there are %s", unknown[0], strings.Join(keys, ", "))
		if near := pinset.Nearest(unknown[0], keys); near != "" {
			return p, e.WithHint("did you mean %s?", near)
		}
		return p, e
	}
	return p, nil
}

// rule is one key of the policy.
type rule struct {
	key, doc string
	text     func(identity.Policy) string
	set      func(*identity.Policy, string) error
}

// rules is the one list of them.
func rules() []rule {
	return []rule{
		{"writers", "who may write pins: members (all of them), or list (writers and admins; the others are keepers)",
			func(p identity.Policy) string { return p.Writers.String() }, setWriters},
		{"replication", "copies of a pin that says nothing else: min..max, one number for both, all for everywhere",
			replicationText, setReplication},
		durationRule("absent", "silence after which more than half of the others evict a member together; 0s: never",
			func(p *identity.Policy) *time.Duration { return &p.Absent }),
		durationRule("grace", "how long a copy stays after its successors are safe",
			func(p *identity.Policy) *time.Duration { return &p.Grace }),
		durationRule("retention", "how long removed pins can be restored",
			func(p *identity.Policy) *time.Duration { return &p.Retention }),
		numberRule("mass_removal", "percent of the pinset that one request may remove without force",
			func(p *identity.Policy) *uint64 { return &p.MassRemoval }),
		numberRule("fill_days", "days of a member's traffic limit that count as its capacity",
			func(p *identity.Policy) *uint64 { return &p.FillDays }),
		numberRule("strict_share", "percent of the capacity that must stay usable where copies go to distinct regions or homes",
			func(p *identity.Policy) *uint64 { return &p.StrictShare }),
		{"mirrors_count", "whether the copies of mirrors count towards the minimum",
			func(p identity.Policy) string { return strconv.FormatBool(p.MirrorsCount) }, setMirrorsCount},
	}
}

func durationRule(key, doc string, of func(*identity.Policy) *time.Duration) rule {
	return rule{key, doc, func(p identity.Policy) string { return of(&p).String() }, func(p *identity.Policy, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d%time.Second != 0 {
			return fmt.Errorf("%q: want whole seconds, as in 30s, 15m or 72h", s)
		}
		*of(p) = d
		return nil
	}}
}

func numberRule(key, doc string, of func(*identity.Policy) *uint64) rule {
	return rule{key, doc, func(p identity.Policy) string { return strconv.FormatUint(*of(&p), 10) }, func(p *identity.Policy, s string) error {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return fmt.Errorf("%q: want a whole number", s)
		}
		*of(p) = n
		return nil
	}}
}

func setWriters(p *identity.Policy, s string) error {
	for _, w := range []identity.Writers{identity.AllMembers, identity.ListedWriters} {
		if w.String() == s {
			p.Writers = w
			return nil
		}
	}
	return fmt.Errorf("%q: want members or list", s)
}

func setMirrorsCount(p *identity.Policy, s string) (err error) {
	if p.MirrorsCount, err = strconv.ParseBool(s); err != nil {
		return fmt.Errorf("%q: want true or false", s)
	}
	return nil
}

func replicationText(p identity.Policy) string {
	if p.Max == pinset.Everywhere {
		return "all"
	}
	return fmt.Sprintf("%d..%d", p.Min, p.Max)
}

func setReplication(p *identity.Policy, s string) error {
	low, high, ranged := strings.Cut(s, "..")
	if !ranged {
		high = low
	}
	if s == "all" || s == "-1" {
		p.Min, p.Max = pinset.Everywhere, pinset.Everywhere
		return nil
	}
	min, err := strconv.Atoi(low)
	max, err2 := strconv.Atoi(high)
	if err != nil || err2 != nil || min < 1 || max < min {
		return fmt.Errorf("%q: want min..max as in 2..3, one number from 1, or all", s)
	}
	p.Min, p.Max = min, max
	return nil
}
