package gossip

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/klauspost/compress/zstd"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// Limits of what is read from others. A frame above its limit is refused before
// it is read.
const (
	maxHeads      = 64       // of one peer
	maxCIDs       = 4096     // in a list of what is wanted or had
	maxBlock      = 1 << 20  // bytes of one delta
	maxInline     = 8 << 10  // bytes of a delta that travels on the topic
	maxMessage    = 64 << 10 // bytes of a message on the topic
	maxUnpacked   = 256 << 10
	maxRequest    = 512 << 10 // bytes of a request to sync
	maxAnswer     = 8 << 20   // bytes of what precedes the deltas in its answer
	maxStatement  = 512 << 10
	maxStatements = 4 << 20 // bytes of all statements in one answer
	maxBook       = 256     // address records in one answer
	maxEnvelope   = 8 << 10 // bytes of one of them
	maxMembers    = 4096
)

var (
	errTooLarge = errors.New("frame above its limit")
	errCutOff   = errors.New("frame cut off")
	errForm     = errors.New("not of the protocol's form")
)

// writeFrame writes len(b) as a varint and then b, in one write.
func writeFrame(w io.Writer, b []byte) error {
	out := make([]byte, 0, binary.MaxVarintLen64+len(b))
	out = binary.AppendUvarint(out, uint64(len(b)))
	_, err := w.Write(append(out, b...))
	return err
}

// readFrame reads one frame. Memory grows with what arrives, not with what was
// promised. io.EOF means that the stream ended before the frame began.
func readFrame(r *bufio.Reader, limit int) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errCutOff
	case err != nil:
		return nil, err
	case n > uint64(limit):
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errTooLarge, n, limit)
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
		return errCutOff
	}
	return err
}

// greeting is what a peer says of itself: in every heartbeat and at both ends of
// an exchange.
type greeting struct {
	Number uint64   `cbor:"n"` // rises; an older greeting of a peer is ignored
	Heads  [][]byte `cbor:"h"`
	Count  uint64   `cbor:"c"` // live pins
	Digest []byte   `cbor:"d"` // 32 bytes
	Height uint64   `cbor:"g,omitempty"`
	Blocks uint64   `cbor:"b,omitempty"` // deltas in its log
	Seq    uint64   `cbor:"s,omitempty"` // of its own statement
	Addrs  []byte   `cbor:"a,omitempty"` // signed peer record
}

// message is what travels on the topic.
type message struct {
	Greeting  *greeting `cbor:"g,omitempty"`
	Heads     [][]byte  `cbor:"h,omitempty"` // announced
	Blocks    [][]byte  `cbor:"b,omitempty"` // oldest first, ancestors of the heads
	Statement []byte    `cbor:"s,omitempty"`
}

// request opens a stream of /pinfold/sync/1.
type request struct {
	Greeting greeting `cbor:"g"`
	Seqs     []seq    `cbor:"q,omitempty"` // statements it has
	Talk     bool     `cbor:"t,omitempty"` // an exchange: statements are asked for
	Book     bool     `cbor:"k,omitempty"` // and address records
	Want     [][]byte `cbor:"w,omitempty"`
	Have     [][]byte `cbor:"v,omitempty"`
}

type seq struct {
	_    struct{} `cbor:",toarray"`
	Peer []byte
	Seq  uint64
}

// answer is the first frame back; if something was wanted, the compressed stream
// of deltas follows.
type answer struct {
	Refused    string   `cbor:"r,omitempty"`
	Greeting   greeting `cbor:"g"`
	Seqs       []seq    `cbor:"q,omitempty"`
	Statements [][]byte `cbor:"s,omitempty"` // newer than the request's
	Book       [][]byte `cbor:"k,omitempty"` // signed peer records
}

// knock opens a stream of /pinfold/join/1; welcome answers it.
type knock struct {
	Cluster string `cbor:"c"`
	Record  []byte `cbor:"r"` // sealed member record with the proof of the secret
}

type welcome struct {
	Refused  string   `cbor:"r,omitempty"`
	Founding []byte   `cbor:"f,omitempty"`
	Book     [][]byte `cbor:"k,omitempty"`
}

func (g *greeting) check() error {
	if len(g.Digest) != 32 || len(g.Addrs) > maxEnvelope {
		return errForm
	}
	_, err := parseCIDs(g.Heads, maxHeads)
	return err
}

func (m *message) check() error {
	if m.Greeting != nil {
		if err := m.Greeting.check(); err != nil {
			return err
		}
	}
	if _, err := parseCIDs(m.Heads, maxHeads); err != nil {
		return err
	}
	if len(m.Blocks) > 0 && len(m.Heads) == 0 {
		return errForm
	}
	for _, b := range m.Blocks {
		if len(b) == 0 || len(b) > maxInline {
			return errForm
		}
	}
	return nil
}

func (r *request) check() error {
	if err := r.Greeting.check(); err != nil {
		return err
	}
	if len(r.Seqs) > maxMembers {
		return errForm
	}
	if _, err := parseCIDs(r.Want, maxHeads); err != nil {
		return err
	}
	_, err := parseCIDs(r.Have, maxCIDs)
	return err
}

func (a *answer) check() error {
	if a.Refused != "" {
		return nil
	}
	if len(a.Seqs) > maxMembers || len(a.Book) > maxBook || len(a.Statements) > maxMembers {
		return errForm
	}
	return a.Greeting.check()
}

func (k *knock) check() error { return nil }

func (w *welcome) check() error {
	if len(w.Book) > maxBook {
		return errForm
	}
	return nil
}

// checked is a message that knows its own bounds.
type checked[T any] interface {
	*T
	check() error
}

func decode[T any, P checked[T]](b []byte) (*T, error) {
	v := new(T)
	if err := canon.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%w: %v", errForm, err)
	}
	return v, P(v).check()
}

func readMessage[T any, P checked[T]](r *bufio.Reader, limit int) (*T, error) {
	b, err := readFrame(r, limit)
	if err != nil {
		return nil, err
	}
	return decode[T, P](b)
}

func writeMessage(w io.Writer, v any) error {
	b, err := canon.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	return writeFrame(w, b)
}

func parseCIDs(raw [][]byte, limit int) ([]cid.Cid, error) {
	if len(raw) > limit {
		return nil, fmt.Errorf("%w: %d CIDs, at most %d", errForm, len(raw), limit)
	}
	out := make([]cid.Cid, len(raw))
	for i, b := range raw {
		c, err := cid.Cast(b)
		if err != nil || len(b) > 64 {
			return nil, fmt.Errorf("%w: CID %d", errForm, i)
		}
		out[i] = c
	}
	return out, nil
}

func cidBytes(cs []cid.Cid) [][]byte {
	out := make([][]byte, len(cs))
	for i, c := range cs {
		out[i] = c.Bytes()
	}
	return out
}

func seqsOf(m map[peer.ID]uint64) []seq {
	out := make([]seq, 0, len(m))
	for p, n := range m {
		if len(out) < maxMembers {
			out = append(out, seq{Peer: []byte(p), Seq: n})
		}
	}
	return out
}

// packer compresses and unpacks messages of the topic.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

const (
	packPlain = 0
	packZstd  = 1
	packAbove = 512 // smaller ones gain nothing
)

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10))
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &packer{enc: enc, dec: dec}, nil
}

func (p *packer) close() { p.dec.Close() }

func (p *packer) pack(m *message) ([]byte, error) {
	b, err := canon.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(b) > packAbove {
		if packed := p.enc.EncodeAll(b, []byte{packZstd}); len(packed) < len(b) {
			return packed, nil
		}
	}
	return append([]byte{packPlain}, b...), nil
}

func (p *packer) unpack(b []byte) (*message, error) {
	if len(b) == 0 || len(b) > maxMessage {
		return nil, errForm
	}
	body := b[1:]
	switch b[0] {
	case packPlain:
	case packZstd:
		var err error
		if body, err = p.dec.DecodeAll(body, nil); err != nil {
			return nil, fmt.Errorf("%w: %v", errForm, err)
		}
	default:
		return nil, fmt.Errorf("%w: packing %d", errForm, b[0])
	}
	return decode[message](body)
}
