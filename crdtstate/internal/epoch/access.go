package epoch

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/identity"
)

// DB is the store.
func (e *Epoch) DB() kv.DB { return e.db }

// Reader is the settled log.
func (e *Epoch) Reader() *blocklog.Reader { return e.reader }

// Number is the epoch's, as it is signed.
func (e *Epoch) Number() uint64 { return e.number }

// Heads are the tips after the last round, sorted.
func (e *Epoch) Heads() []Head { return e.heads }

// Blocks is the length of the settled log.
func (e *Epoch) Blocks() uint64 { return e.at.Blocks }

// Pins is the number of live pins.
func (e *Epoch) Pins() uint64 { return e.at.Pins }

// Digest is that of all live keys and values.
func (e *Epoch) Digest() [32]byte { return e.agree.sum.Digest() }

// Authority is that of everything admitted.
func (e *Epoch) Authority() (*identity.Authority, error) { return e.controls.now() }

// Seq is the highest sequence number admitted of an author.
func (e *Epoch) Seq(id peer.ID) uint64 { return e.log.Seq(id) }

// Authors is the table of authors with their highest sequence numbers. The caller
// must not change it.
func (e *Epoch) Authors() []blocklog.Author { return e.log.AllAuthors() }

// Lately yields the authors of the last round.
func (e *Epoch) Lately() iter.Seq[blocklog.Author] { return e.log.Lately() }

// Live returns a key's value as this round has it, nil for none, and the deltas
// whose element of the key is not removed. What it looked at stays in memory until
// Settle.
func (e *Epoch) Live(key string) (value []byte, deltas []cid.Cid, err error) {
	c, err := e.merger.Cell(key)
	if err != nil {
		return nil, nil, err
	}
	for _, pos := range c.Live {
		id, err := e.log.CID(pos)
		if err != nil {
			return nil, nil, err
		}
		deltas = append(deltas, id)
	}
	return c.Value, deltas, nil
}

// carries says whether the delta at pos gives a key a value.
func (e *Epoch) carries(pos uint64, key string, value []byte) (bool, error) {
	b, err := e.reader.Block(pos)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(b.Delta.Elements, func(el *pb.Element) bool {
		return el.Key == key && bytes.Equal(el.Value, value)
	}), nil
}

// Origin says which delta a cell's value is from: of the live deltas of its
// priority one that carries the value.
func (e *Epoch) Origin(key string, c merge.Cell) (peer.ID, uint64, error) {
	for _, pos := range c.Live {
		m, err := e.reader.Meta(pos)
		if err != nil {
			return "", 0, err
		}
		if m.Height != c.Priority {
			continue
		}
		if len(c.Live) > 1 {
			if ok, err := e.carries(pos, key, c.Value); err != nil || !ok {
				if err != nil {
					return "", 0, err
				}
				continue
			}
		}
		author, err := e.reader.AuthorOf(m.Author)
		return author, m.Seq, err
	}
	return "", 0, fmt.Errorf("origin of %s: %w", key, blocklog.ErrUnknown)
}
