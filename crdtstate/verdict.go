package crdtstate

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
)

// What can be wrong with a block that was handed in. Errors of Receive wrap one of
// them.
var (
	// ErrRefused: forged, malformed, or not within its author's rights. Who sent it
	// should have known.
	ErrRefused = gate.ErrRefused
	// ErrUnvouched comes with ErrRefused when a block is well made, but neither by a
	// member nor below a member's block. A sender that has not heard of a removal may
	// send such blocks in good faith.
	ErrUnvouched = gate.ErrUnvouched
	// ErrParked: made under a feature level that this peer does not know. It is
	// neither admitted nor held against anyone.
	ErrParked = gate.ErrParked
	// ErrIncomplete: a parent or a head was not delivered. Ask for more.
	ErrIncomplete = gate.ErrIncomplete
)

// isVerdict says whether an error is about a block, and not a failure of the store.
func isVerdict(err error) bool { return errors.Is(err, ErrRefused) || errors.Is(err, ErrParked) }

// Summary is what peers compare to see whether they agree.
type Summary struct {
	Heads  []cid.Cid // tips of the DAG of deltas, sorted
	Count  uint64    // live pins
	Digest [32]byte  // of all live keys and values, whatever their history
	Height uint64    // of the highest head
	Blocks uint64    // deltas in the log
}

// String is short enough for a log line.
func (s Summary) String() string {
	return fmt.Sprintf("%d pins, digest %s, %d heads at height %d",
		s.Count, hex.EncodeToString(s.Digest[:4]), len(s.Heads), s.Height)
}

// summarise returns the summary of the last round.
func summarise(e *epoch.Epoch) Summary {
	s := Summary{Count: e.Pins(), Digest: e.Digest(), Blocks: e.Blocks()}
	for _, h := range e.Heads() {
		s.Heads = append(s.Heads, h.CID)
		s.Height = max(s.Height, h.Height)
	}
	return s
}
