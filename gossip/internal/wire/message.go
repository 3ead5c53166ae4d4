package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-varint"

	"github.com/pinfold/pinfold/canon"
)

// Limits of what is read from others. A frame above its limit is refused before
// it is read.
const (
	MaxHeads      = 64       // of one peer
	MaxCIDs       = 4096     // in a list of what is wanted or had
	MaxBlock      = 1 << 20  // bytes of one delta
	MaxInline     = 8 << 10  // bytes of a delta that travels on the topic
	MaxMessage    = 64 << 10 // bytes of a message on the topic
	maxUnpacked   = 256 << 10
	MaxRequest    = 512 << 10 // bytes of a request to sync
	MaxAnswer     = 8 << 20   // bytes of what precedes the deltas in its answer
	MaxStatement  = 512 << 10
	MaxStatements = 4 << 20 // bytes of all statements in one answer
	MaxBook       = 256     // address records in one answer
	MaxEnvelope   = 8 << 10 // bytes of one of them
	MaxMembers    = 4096
	MaxSigned     = 16 << 10  // bytes of a seal or an acknowledgement
	MaxAllSigned  = 256 << 10 // bytes of all in one message of an exchange
)

var (
	ErrTooLarge = errors.New("frame above its limit")
	ErrCutOff   = errors.New("frame cut off")
	ErrForm     = errors.New("not of the protocol's form")
)

// WriteFrame writes len(b) as a varint and then b, in one write.
func WriteFrame(w io.Writer, b []byte) error {
	out := make([]byte, 0, binary.MaxVarintLen64+len(b))
	out = binary.AppendUvarint(out, uint64(len(b)))
	_, err := w.Write(append(out, b...))
	return err
}

// ReadFrame reads one frame. Memory grows with what arrives, not with what was
// promised. io.EOF means that the stream ended before the frame began.
func ReadFrame(r *bufio.Reader, limit int) ([]byte, error) {
	n, err := varint.ReadUvarint(r)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrCutOff
	case errors.Is(err, varint.ErrOverflow) || errors.Is(err, varint.ErrNotMinimal):
		return nil, fmt.Errorf("%w: length: %v", ErrForm, err)
	case err != nil:
		return nil, err
	case n > uint64(limit):
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, limit)
	}
	if n <= 64<<10 {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, cutOff(err)
		}
		return b, nil
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return nil, cutOff(err)
	}
	return buf.Bytes(), nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCutOff
	}
	return err
}

// Greeting is what a peer says of itself: in every heartbeat and at both ends of
// an exchange.
type Greeting struct {
	Number uint64   `cbor:"n"` // rises; an older greeting of a peer is ignored
	Heads  [][]byte `cbor:"h"`
	Count  uint64   `cbor:"c"` // live pins
	Digest []byte   `cbor:"d"` // 32 bytes
	Height uint64   `cbor:"g,omitempty"`
	Blocks uint64   `cbor:"b,omitempty"` // deltas in its log
	Seq    uint64   `cbor:"s,omitempty"` // of its own statement
	Addrs  []byte   `cbor:"a,omitempty"` // signed peer record
	Epoch  uint64   `cbor:"e,omitempty"` // in force there
	Signed []byte   `cbor:"z,omitempty"` // names the seals and acknowledgements it has
}

// Message is what travels on the topic.
type Message struct {
	Greeting  *Greeting `cbor:"g,omitempty"`
	Heads     [][]byte  `cbor:"h,omitempty"` // announced
	Blocks    [][]byte  `cbor:"b,omitempty"` // oldest first, ancestors of the heads
	Statement []byte    `cbor:"s,omitempty"`
	Signed    [][]byte  `cbor:"m,omitempty"` // new seals and acknowledgements
}

// Request opens a stream of /pinfold/sync/1.
type Request struct {
	Greeting Greeting `cbor:"g"`
	Seqs     []Seq    `cbor:"q,omitempty"` // statements it has
	Talk     bool     `cbor:"t,omitempty"` // an exchange: statements are asked for
	Book     bool     `cbor:"k,omitempty"` // and address records
	Want     [][]byte `cbor:"w,omitempty"`
	Have     [][]byte `cbor:"v,omitempty"`
	Signed   [][]byte `cbor:"m,omitempty"` // seals and acknowledgements
	Genesis  *Genesis `cbor:"e,omitempty"` // asked for
}

// Genesis asks for the genesis in force.
type Genesis struct {
	Root []byte `cbor:"r,omitempty"` // hash of the one that arrived in part
	Have uint64 `cbor:"h,omitempty"` // pieces of it
}

// Seq is one member's newest statement, as a pair.
type Seq struct {
	_    struct{} `cbor:",toarray"`
	Peer []byte
	Seq  uint64
}

// Answer is the first frame back; if something was wanted, the compressed stream
// of deltas follows.
type Answer struct {
	Refused    string   `cbor:"r,omitempty"`
	Greeting   Greeting `cbor:"g"`
	Seqs       []Seq    `cbor:"q,omitempty"`
	Statements [][]byte `cbor:"s,omitempty"` // newer than the request's
	Book       [][]byte `cbor:"k,omitempty"` // signed peer records
	Signed     [][]byte `cbor:"m,omitempty"` // seals and acknowledgements, if the asker named others
}

// Knock opens a stream of /pinfold/join/1.
type Knock struct {
	Cluster string `cbor:"c"`
	Record  []byte `cbor:"r"` // sealed member record with the proof of the secret
}

// Welcome answers a Knock.
type Welcome struct {
	Refused  string   `cbor:"r,omitempty"`
	Founding []byte   `cbor:"f,omitempty"`
	Book     [][]byte `cbor:"k,omitempty"`
}

func (g *Greeting) check() error {
	if len(g.Digest) != 32 || len(g.Addrs) > MaxEnvelope || len(g.Signed) > 32 {
		return ErrForm
	}
	_, err := ParseCIDs(g.Heads, MaxHeads)
	return err
}

func (m *Message) check() error {
	if m.Greeting != nil {
		if err := m.Greeting.check(); err != nil {
			return err
		}
	}
	if _, err := ParseCIDs(m.Heads, MaxHeads); err != nil {
		return err
	}
	if len(m.Blocks) > 0 && len(m.Heads) == 0 {
		return ErrForm
	}
	if err := checkSigned(m.Signed); err != nil {
		return err
	}
	for _, b := range m.Blocks {
		if len(b) == 0 || len(b) > MaxInline {
			return ErrForm
		}
	}
	return nil
}

func (r *Request) check() error {
	if err := r.Greeting.check(); err != nil {
		return err
	}
	if len(r.Seqs) > MaxMembers || r.Genesis != nil && (len(r.Genesis.Root) > 32 || r.Genesis.Have > 1<<24) {
		return ErrForm
	}
	if err := checkSigned(r.Signed); err != nil {
		return err
	}
	if _, err := ParseCIDs(r.Want, MaxHeads); err != nil {
		return err
	}
	_, err := ParseCIDs(r.Have, MaxCIDs)
	return err
}

func (a *Answer) check() error {
	if a.Refused != "" {
		return nil
	}
	if len(a.Seqs) > MaxMembers || len(a.Book) > MaxBook || len(a.Statements) > MaxMembers {
		return ErrForm
	}
	if err := checkSigned(a.Signed); err != nil {
		return err
	}
	return a.Greeting.check()
}

func checkSigned(records [][]byte) error {
	if len(records) > 2*MaxMembers {
		return ErrForm
	}
	for _, r := range records {
		if len(r) > MaxSigned {
			return ErrForm
		}
	}
	return nil
}

func (k *Knock) check() error { return nil }

func (w *Welcome) check() error {
	if len(w.Book) > MaxBook {
		return ErrForm
	}
	return nil
}

// checked is a Message that knows its own bounds.
type checked[T any] interface {
	*T
	check() error
}

func decode[T any, P checked[T]](b []byte) (*T, error) {
	v := new(T)
	if err := canon.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrForm, err)
	}
	return v, P(v).check()
}

func ReadMessage[T any, P checked[T]](r *bufio.Reader, limit int) (*T, error) {
	b, err := ReadFrame(r, limit)
	if err != nil {
		return nil, err
	}
	return decode[T, P](b)
}

func WriteMessage(w io.Writer, v any) error {
	b, err := canon.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	return WriteFrame(w, b)
}

func ParseCIDs(raw [][]byte, limit int) ([]cid.Cid, error) {
	if len(raw) > limit {
		return nil, fmt.Errorf("%w: %d CIDs, at most %d", ErrForm, len(raw), limit)
	}
	out := make([]cid.Cid, len(raw))
	for i, b := range raw {
		c, err := cid.Cast(b)
		if err != nil || len(b) > 64 {
			return nil, fmt.Errorf("%w: CID %d", ErrForm, i)
		}
		out[i] = c
	}
	return out, nil
}

func CIDBytes(cs []cid.Cid) [][]byte {
	out := make([][]byte, len(cs))
	for i, c := range cs {
		out[i] = c.Bytes()
	}
	return out
}

func SeqsOf(m map[peer.ID]uint64) []Seq {
	out := make([]Seq, 0, len(m))
	for p, n := range m {
		if len(out) < MaxMembers {
			out = append(out, Seq{Peer: []byte(p), Seq: n})
		}
	}
	return out
}
