package abreast

import (
	"iter"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// List is one member's list, read step by step. Whoever made it calls Stop.
type List struct {
	Peer peer.ID
	Stop func()

	pull func() (pinset.Local, error, bool)
	head pinset.Local
	key  string // of head, "" when it was taken, and at the end
	last string // of the one before
	err  error
}

// Read begins a list. Nothing of it is read before Advance.
func Read(id peer.ID, list iter.Seq2[pinset.Local, error]) *List {
	l := &List{Peer: id}
	l.pull, l.Stop = iter.Pull2(list)
	return l
}

// Advance reads what is next, if the one before was taken.
func (l *List) Advance() {
	if l.key != "" || l.pull == nil {
		return
	}
	next, err, more := l.pull()
	if err != nil || !more {
		l.pull, l.err = nil, err
		return
	}
	l.head, l.key = next, pinset.CIDPrefix(next.CID)
	if l.key <= l.last {
		l.pull, l.key = nil, ""
		l.err = pinset.Errorf(pinset.KindUnavailable, "list of %s is not in order", l.Peer)
	}
	l.last = l.key
}

// Head is what is next, and its key; "" when it was taken, and at the end.
func (l *List) Head() (string, cid.Cid) { return l.key, l.head.CID }

// Take returns what is next if it has this key.
func (l *List) Take(key string) (pinset.Local, bool) {
	if l.key != key {
		return pinset.Local{}, false
	}
	l.key = ""
	return l.head, true
}

// Err is why the list broke off; nil while it is read, and at its end.
func (l *List) Err() error { return l.err }

// ByCID joins the pins of one CID, which stand together.
func ByCID(pins iter.Seq2[pinset.Pin, error]) iter.Seq2[[]pinset.Pin, error] {
	return func(yield func([]pinset.Pin, error) bool) {
		var group []pinset.Pin
		prefix := ""
		for p, err := range pins {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(group) > 0 && !strings.HasPrefix(p.Key(), prefix) {
				if !yield(group, nil) {
					return
				}
				group = nil
			}
			if len(group) == 0 {
				prefix = pinset.CIDPrefix(p.CID)
			}
			group = append(group, p)
		}
		if len(group) > 0 {
			yield(group, nil)
		}
	}
}
