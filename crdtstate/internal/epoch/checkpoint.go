package epoch

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/lthash"
)

// Keys of the store beside those of the log and the cells.
const (
	checkpointKey = 'c' // the last round
	sumKey        = 'd' // the set hash at some round
	journalKey    = 'j' // one byte slot -> what a later round changed in it
	controlKey    = 'a' // SetID -> positions of control blocks
)

var errCheckpoint = errors.New("damaged checkpoint")

// checkpoint closes every round's batch: whatever stands in the store beyond it
// was cut off and is merged again.
type checkpoint struct {
	Blocks uint64 // merged
	Round  uint64 // number of this round
	Pins   uint64 // live
	Set    blocklog.SetID
	Heads  []headRef

	Uncounted bool // a cut-off round was merged again: set hash and count are not valid
}

type headRef struct{ Pos, Height uint64 }

const checkpointVersion = 1

func (c checkpoint) encode() []byte {
	b := append(make([]byte, 0, 64), checkpointVersion)
	b = append(b, c.Set[:]...)
	flags := uint64(0)
	if c.Uncounted {
		flags = 1
	}
	b = binary.AppendUvarint(b, flags)
	for _, v := range []uint64{c.Blocks, c.Round, c.Pins, uint64(len(c.Heads))} {
		b = binary.AppendUvarint(b, v)
	}
	for _, h := range c.Heads {
		b = binary.AppendUvarint(b, h.Pos)
		b = binary.AppendUvarint(b, h.Height)
	}
	return b
}

func decodeCheckpoint(b []byte) (c checkpoint, err error) {
	if len(b) < 1+len(c.Set) || b[0] != checkpointVersion {
		return c, errCheckpoint
	}
	c.Set = blocklog.SetID(b[1:])
	b = b[1+len(c.Set):]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = errCheckpoint
			return 0
		}
		b = b[n:]
		return v
	}
	c.Uncounted = next() == 1
	c.Blocks, c.Round, c.Pins = next(), next(), next()
	for n := next(); n > 0 && err == nil; n-- {
		c.Heads = append(c.Heads, headRef{next(), next()})
	}
	return c, err
}

// readCheckpoint returns the zero checkpoint for a new store.
func readCheckpoint(db kv.DB) (checkpoint, error) {
	b, err := db.Get([]byte{checkpointKey})
	if errors.Is(err, kv.ErrNotFound) {
		return checkpoint{}, nil
	}
	if err != nil {
		return checkpoint{}, err
	}
	return decodeCheckpoint(b)
}

// agreement is the set hash of all live keys and values. It has 2 KiB, too much
// for a round that changes one key: most rounds write the 32 bytes by which it
// changed into a ring of slots, and the whole of it once in a turn.
type agreement struct {
	sum  lthash.Sum
	full uint64 // the round at which the whole was written
}

const (
	slots      = 64
	slotSeeds  = 16 // a round that changed more writes the whole
	seedsBytes = len(lthash.Seed{})
)

// write takes a round's changes in and puts them into its batch.
func (a *agreement) write(b *kv.Batch, round uint64, added, removed []lthash.Seed) {
	a.sum.Add(added...)
	a.sum.Remove(removed...)
	if round-a.full >= slots || len(added)+len(removed) > slotSeeds || a.full == 0 {
		a.full = round
		b.Put([]byte{sumKey}, append(binary.BigEndian.AppendUint64(nil, round), a.sum[:]...))
		return
	}
	v := binary.BigEndian.AppendUint64(nil, round)
	v = append(v, byte(len(added)))
	for _, s := range added {
		v = append(v, s[:]...)
	}
	for _, s := range removed {
		v = append(v, s[:]...)
	}
	b.Put([]byte{journalKey, byte(round % slots)}, v)
}

// readAgreement returns the set hash at a round.
func readAgreement(db kv.DB, round uint64) (*agreement, error) {
	a := &agreement{}
	if round == 0 {
		return a, nil
	}
	b, err := db.Get([]byte{sumKey})
	if err != nil {
		return nil, fmt.Errorf("read set hash: %w", err)
	}
	if len(b) != 8+lthash.Size {
		return nil, errCheckpoint
	}
	a.full = binary.BigEndian.Uint64(b)
	copy(a.sum[:], b[8:])
	if a.full > round {
		return nil, fmt.Errorf("set hash of round %d at round %d: %w", a.full, round, errCheckpoint)
	}
	for r := a.full + 1; r <= round; r++ {
		b, err := db.Get([]byte{journalKey, byte(r % slots)})
		if err != nil {
			return nil, fmt.Errorf("read set hash: %w", err)
		}
		if err := a.replay(r, b); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *agreement) replay(round uint64, b []byte) error {
	if len(b) < 9 || (len(b)-9)%seedsBytes != 0 || binary.BigEndian.Uint64(b) != round {
		return fmt.Errorf("changes of round %d: %w", round, errCheckpoint)
	}
	added := int(b[8])
	for i, rest := 0, b[9:]; len(rest) > 0; i, rest = i+1, rest[seedsBytes:] {
		if s := lthash.Seed(rest); i < added {
			a.sum.Add(s)
		} else {
			a.sum.Remove(s)
		}
	}
	return nil
}
