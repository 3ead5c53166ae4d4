package sim

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// write is a change that a peer was asked for.
type write struct {
	remove   bool
	acked    bool // the peer said that it is done; if not, it may have happened
	author   peer.ID
	seq      uint64
	saw      map[peer.ID]uint64 // deltas that were surely below it
	mayHave  map[peer.ID]uint64 // and those that may have been
	step     int
	happened string
}

// Oracle remembers every write by key and says what must be pinned in the end:
// an addition counts until a removal that had seen it.
type Oracle struct{ writes map[string][]write }

// forget makes the writes of an author above seq uncertain: he was removed before
// they had spread.
func (o *Oracle) forget(author peer.ID, seq uint64) {
	for _, ws := range o.writes {
		for i := range ws {
			if ws[i].author == author && ws[i].seq > seq {
				ws[i].acked = false
			}
		}
	}
}

// verdict on one key.
type verdict uint8

const (
	either verdict = iota // depends on what an unacknowledged write did
	pinned
	gone
)

func (v verdict) String() string { return [...]string{"either", "pinned", "gone"}[v] }

func (o *Oracle) note(key string, w write) {
	if o.writes == nil {
		o.writes = make(map[string][]write)
	}
	o.writes[key] = append(o.writes[key], w)
}

// removed says whether the removal w took out the addition a, or may have.
func (w *write) removed(a *write) (surely, perhaps bool) {
	if !w.remove {
		return false, false
	}
	if !w.acked {
		return false, true
	}
	if !a.acked { // its number is not known
		return false, true
	}
	return a.seq <= w.saw[a.author], a.seq <= w.mayHave[a.author]
}

func (o *Oracle) verdict(key string) verdict {
	v := gone
	for i := range o.writes[key] {
		a := &o.writes[key][i]
		if a.remove {
			continue
		}
		surely, perhaps := false, false
		for j := range o.writes[key] {
			s, p := o.writes[key][j].removed(a)
			surely, perhaps = surely || s, perhaps || p
		}
		switch {
		case surely:
		case a.acked && !perhaps:
			return pinned
		default:
			v = either
		}
	}
	return v
}

// check compares what is pinned with what must be.
func (o *Oracle) check(have map[string]bool) error {
	for key := range have {
		if _, known := o.writes[key]; !known {
			return fmt.Errorf("%s is pinned and nobody asked for it", key)
		}
	}
	for key := range o.writes {
		if v := o.verdict(key); (v == pinned && !have[key]) || (v == gone && have[key]) {
			return fmt.Errorf("%s must be %s, have it: %v; %s", key, v, have[key], o.story(key))
		}
	}
	return nil
}

func (o *Oracle) story(key string) string {
	text := ""
	for _, w := range o.writes[key] {
		text += fmt.Sprintf("\n\tstep %d: %s remove=%v acked=%v author=%s seq=%d", w.step, w.happened, w.remove, w.acked, short(w.author), w.seq)
	}
	return text
}

func short(p peer.ID) string {
	s := p.String()
	return s[max(0, len(s)-6):]
}

// receipt fills in what an acknowledgement says.
func (w *write) receipt(r pinset.Receipt, err error) {
	w.acked, w.author, w.seq = err == nil, r.Author, r.Seq
	if err != nil {
		w.happened += ": " + err.Error()
	}
}
