package audit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/cluster/internal/statement"
)

func day(n int) time.Time { return time.Unix(1e9, 0).UTC().AddDate(0, 0, n) }

// chain is n links that follow each other.
func chain(n int) []Link {
	var out []Link
	for i := range n {
		l := Link{Seq: uint64(i + 1), At: day(i), Hash: [32]byte{byte(i + 1)}}
		if i > 0 {
			before := out[i-1].Hash
			l.Prev = before[:]
		}
		out = append(out, l)
	}
	return out
}

func TestChainShowsWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		change func([]Link) []Link
		forks  []uint64
		from   time.Time
		want   string // kind seq proof
	}{
		"whole":                           {nil, nil, day(0), ""},
		"a gap":                           {func(l []Link) []Link { return slices.Delete(l, 1, 2) }, nil, day(0), "gap 3"},
		"a gap before the time looked at": {func(l []Link) []Link { return slices.Delete(l, 1, 2) }, nil, day(3), ""},
		"two with one number":             {nil, []uint64{2}, day(0), "fork 2 proof"},
		"two with one number, long ago":   {nil, []uint64{2}, day(9), "fork 2 proof"},
		"another one before":              {func(l []Link) []Link { l[2].Prev = make([]byte, 32); return l }, nil, day(0), "broken 3 proof"},
		"nothing before":                  {func(l []Link) []Link { l[2].Prev = nil; return l }, nil, day(0), "gap 3"},
		"a clock that went back":          {func(l []Link) []Link { l[2].At = day(0); return l }, nil, day(0), "clock 3"},
	} {
		links := chain(4)
		if tc.change != nil {
			links = tc.change(links)
		}
		var got []string
		for _, f := range Chain(links, tc.forks, tc.from) {
			text := f.Kind + " " + string(rune('0'+f.Seq))
			if f.Proof {
				text += " proof"
			}
			if f.Detail == "" {
				t.Errorf("%s: no detail", name)
			}
			got = append(got, text)
		}
		if strings.Join(got, "; ") != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestJudgeTellsPromisedHeldAndLost(t *testing.T) {
	const item = 7
	many := make([]uint64, 2*statement.MaxExceptions)
	for i := range many {
		many[i] = uint64(i) << 40
	}
	ranges := statement.Except(slices.Values(append(many, item)))
	if ranges.Exact() {
		t.Fatal("no ranges")
	}
	for name, tc := range map[string]struct {
		words string // one letter a day: h holds it, m misses it, r misses a range, - does not know it
		want  Verdict
	}{
		"never spoke":               {"", Verdict{}},
		"does not know it":          {"--", Verdict{}},
		"does not have it yet":      {"-mm", Verdict{State: Missing}},
		"holds it":                  {"-mhh", Verdict{State: Held, Promised: day(2)}},
		"lost it":                   {"hhmm", Verdict{State: Lost, Promised: day(0), Lost: day(2)}},
		"has it again":              {"hmh", Verdict{State: Held, Promised: day(0), Lost: day(1), Repaired: day(2)}},
		"lost it twice":             {"hmhm", Verdict{State: Lost, Promised: day(0), Lost: day(3), Repaired: day(2)}},
		"names ranges":              {"hr", Verdict{State: Missing, Promised: day(0)}},
		"names it after ranges":     {"hrm", Verdict{State: Lost, Promised: day(0), Lost: day(2)}},
		"names ranges after it":     {"hmr", Verdict{State: Lost, Promised: day(0), Lost: day(1)}},
		"speaks of another version": {"h-", Verdict{State: Held, Promised: day(0)}},
	} {
		var words []*statement.Statement
		for i, c := range tc.words {
			s := &statement.Statement{Seq: uint64(i + 1), At: day(i)}
			switch c {
			case 'm':
				s.Except = statement.Except(slices.Values([]uint64{1, item}))
			case 'r':
				s.Except = ranges
			case '-':
				s.Items = 1 // marks it for knows
			}
			words = append(words, s)
		}
		got := Judge(words, item, func(s *statement.Statement) bool { return s.Items == 0 })
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}
