package crdtstate

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/compaction"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
)

// Info is what the state is made of, and how far the next epoch is.
type Info struct {
	Epoch   uint64  // in force here
	Genesis cid.Cid // what it begins with; undefined for the first epoch
	Blocks  uint64  // deltas since then
	Folded  uint64  // deltas of which only what is live is kept
	Pins    uint64  // live
	Bytes   uint64  // on the disk

	Due     bool               // the history is long enough for a new epoch
	Sealed  []peer.ID          // who has sealed for the next one; empty: it is not being prepared
	Acked   []peer.ID          // who has acknowledged what this peer did
	Waiting []peer.ID          // who has to do the one or the other first
	Liars   map[peer.ID]string // who signed two things that exclude each other
	Trouble string             // what keeps this peer itself from its next step
}

// Info says what the state is made of.
func (s *State) Info() (Info, error) {
	d, now := s.decide()
	i := Info{Epoch: s.Epoch(), Blocks: now.Blocks - now.folded, Folded: now.folded, Pins: now.Count, Due: due(now)}
	err := s.read(func(e *epoch.Epoch) error {
		if b := e.Reader().Base(); b != nil {
			i.Genesis = b.CID()
		}
		return nil
	})
	if err != nil {
		return i, err
	}
	if i.Sealed = d.Sealed; len(d.Sealed) > 0 || d.Step == compaction.Build {
		i.Acked, i.Waiting = d.Acked, d.Waiting
	}
	s.closing.mu.Lock()
	i.Liars, i.Trouble = s.closing.book.Liars(), s.closing.failed
	s.closing.mu.Unlock()
	i.Bytes, err = s.bytes()
	return i, err
}

// bytes is the size of all files of the state.
func (s *State) bytes() (n uint64, err error) {
	if s.lock == nil {
		return 0, nil
	}
	err = filepath.WalkDir(s.cfg.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += uint64(info.Size())
		} else if err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	})
	return n, err
}
