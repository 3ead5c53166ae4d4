package deficit

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/statement"
)

func keys(l *List) (out []string, whole bool) {
	rows, whole := l.Rows()
	for _, r := range rows {
		out = append(out, r.Key)
	}
	return out, whole
}

func TestListKeepsWhatIsShortAndSinceWhen(t *testing.T) {
	l := NewList(3)
	if _, whole := l.Rows(); whole || !l.Stale() {
		t.Error("a new list says that it is whole")
	}
	first, later := time.Unix(1, 0), time.Unix(2, 0)
	f := l.Fill()
	f.Put(Row{Key: "b", Hash: 7, Since: first})
	f.Done()
	l.Put(Row{Key: "b", Hash: 7, Since: later}, true)
	l.Put(Row{Key: "a", Hash: 7, Since: later}, true)
	l.Put(Row{Key: "z"}, false)
	if got, whole := keys(l); !slices.Equal(got, []string{"a", "b"}) || !whole || l.Since("b") != first || !l.Knows(7) {
		t.Errorf("%q, whole %v, since %v", got, whole, l.Since("b"))
	}
	l.Put(Row{Key: "b"}, false)
	if !l.Knows(7) || l.Knows(8) {
		t.Error("hashes")
	}
	l.Put(Row{Key: "a"}, false)
	if l.Knows(7) {
		t.Error("a hash of no row is known")
	}
	for _, k := range []string{"a", "b", "c", "d"} {
		l.Put(Row{Key: k, Since: first}, true)
	}
	if got, whole := keys(l); len(got) != 3 || whole || !l.Over() {
		t.Errorf("above the limit: %q, whole %v", got, whole)
	}
	f = l.Fill()
	f.Put(Row{Key: "a", Since: later})
	f.Done()
	if _, whole := keys(l); !whole || l.Since("a") != first {
		t.Errorf("made anew: whole %v, since %v", whole, l.Since("a"))
	}
	l.MakeStale()
	if _, whole := keys(l); whole {
		t.Error("a stale list says that it is whole")
	}
}

func TestCompareSaysWhatToJudgeAgain(t *testing.T) {
	view, other := [32]byte{1}, [32]byte{2}
	except := func(h ...uint64) statement.Exceptions { return statement.Except(slices.Values(h)) }
	word := func(seq uint64, change func(*statement.Statement)) Word {
		s := &statement.Statement{Seq: seq, View: view, Vector: map[peer.ID]uint64{"a": 5}, Except: except(1)}
		if change != nil {
			change(s)
		}
		return Word{s, true}
	}
	base := word(1, nil)
	silent := base
	silent.Heard = false
	many := make([]uint64, 2*statement.MaxExceptions)
	for i := range many {
		many[i] = uint64(i) << 40
	}
	for name, tc := range map[string]struct {
		before, after Word
		want          Effect
	}{
		"the same":                    {base, base, Nothing},
		"knows more":                  {base, word(2, func(s *statement.Statement) { s.Vector = map[peer.ID]uint64{"a": 6, "b": 1} }), Rows},
		"has more":                    {base, word(2, func(s *statement.Statement) { s.Except = except() }), Rows},
		"lost something":              {base, word(2, func(s *statement.Statement) { s.Except = except(1, 2) }), All},
		"lacks what is listed":        {base, word(2, func(s *statement.Statement) { s.Except = except(1, 9) }), Rows},
		"lacks ranges":                {base, word(2, func(s *statement.Statement) { s.Except = except(many...) }), All},
		"knows less":                  {base, word(2, func(s *statement.Statement) { s.Vector = map[peer.ID]uint64{"a": 4} }), All},
		"speaks of other members":     {base, word(2, func(s *statement.Statement) { s.View = other }), All},
		"speaks of the present again": {word(1, func(s *statement.Statement) { s.View = other }), word(2, func(s *statement.Statement) { s.Except = except(1, 2) }), Rows},
		"falls silent":                {base, silent, All},
		"is heard again":              {silent, base, Rows},
		"speaks while silent":         {silent, Word{word(2, nil).Statement, false}, Rows},
		"is no member any more":       {base, Word{}, All},
		"speaks for the first time":   {Word{Heard: true}, base, Rows},
	} {
		known := func(h uint64) bool { return h == 9 }
		got := Compare(map[peer.ID]Word{"m": tc.before}, map[peer.ID]Word{"m": tc.after}, view, known)
		if got != tc.want {
			t.Errorf("%s: effect %d, want %d", name, got, tc.want)
		}
	}
	if got := Compare(nil, map[peer.ID]Word{"m": base}, view, nil); got != Rows {
		t.Errorf("a new member's word: effect %d", got)
	}
}
