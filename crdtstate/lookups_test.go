package crdtstate

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

func numbered(n int) cid.Cid {
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum([]byte{byte(n), byte(n >> 8)})
	if err != nil {
		panic(err)
	}
	return c
}

func size(n uint64) func(*looked) { return func(l *looked) { l.size, l.sized = n, true } }

func TestLookupsForgetWhatARoundChanged(t *testing.T) {
	var l lookups
	a, b := numbered(1), numbered(2)
	_, round := l.get(a)
	l.keep(a, round, size(1))
	l.keep(a, round, func(l *looked) { l.pins, l.pinned = []pinset.Pin{{CID: a}}, true })
	l.keep(b, round, size(2))
	if have, _ := l.get(a); !have.sized || have.size != 1 || !have.pinned || len(have.pins) != 1 {
		t.Errorf("kept %+v, want size and pin", have)
	}
	l.forget([]cid.Cid{a})
	if have, _ := l.get(a); have.sized || have.pinned {
		t.Errorf("changed, and still %+v", have)
	}
	if have, _ := l.get(b); !have.sized {
		t.Error("what did not change was forgotten")
	}
	if l.keep(a, round, size(1)); l.young[a].sized {
		t.Error("what was read before the round ended was kept after it")
	}
	if l.clear(); len(l.young)+len(l.old) > 0 {
		t.Error("not cleared")
	}
}

func TestLookupsAreBounded(t *testing.T) {
	var l lookups
	const n = 5 * maxLookups
	for i := range n {
		_, round := l.get(numbered(i))
		l.keep(numbered(i), round, size(1))
	}
	if most := 2 * maxLookups; len(l.young)+len(l.old) > most {
		t.Errorf("%d CIDs kept, at most %d", len(l.young)+len(l.old), most)
	}
	if have, _ := l.get(numbered(n - maxLookups)); !have.sized {
		t.Error("one of the last was forgotten")
	}
	l.forget([]cid.Cid{numbered(n - maxLookups)})
	if have, _ := l.get(numbered(n - maxLookups)); have.sized {
		t.Error("the older generation still has it")
	}
}
