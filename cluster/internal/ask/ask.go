package ask

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/pinset"
)

// What can be asked.
const (
	About   = "about"   // the member: one About frame
	Item    = "item"    // one CID: one frame with one Local
	All     = "all"     // everything that is, shall be or was to be there: frames of Locals in the pinset's order
	Replace = "replace" // of an admin: take the place of the member named; answered by an empty frame
	Drain   = "drain"   // of an admin: hand over what is held; answered by an empty frame
	Undrain = "undrain" // of an admin: take a share again; answered so too
	Prove   = "prove"   // that blocks of one CID are there: a frame of Proofs, or one with the Block
	Recover = "recover" // try again what failed: of one CID, or, without one, all; answered like Item, or with an empty frame
)

// Request is a question.
type Request struct {
	What   string
	CID    cid.Cid   // for Item, Recover and Prove
	Peer   peer.ID   // for Replace
	Nonce  []byte    // for Prove, 32 bytes
	Blocks []cid.Cid // for Prove: of which; none: the bytes of CID itself are to be sent
}

type request struct {
	What   string   `cbor:"q"`
	CID    []byte   `cbor:"c,omitempty"`
	Peer   []byte   `cbor:"p,omitempty"`
	Nonce  []byte   `cbor:"n,omitempty"`
	Blocks [][]byte `cbor:"b,omitempty"`
}

// Encode returns the request's bytes.
func (r Request) Encode() ([]byte, error) {
	w := request{What: r.What, Peer: []byte(r.Peer)}
	if r.CID.Defined() {
		w.CID = r.CID.Bytes()
	}
	w.Nonce = r.Nonce
	for _, b := range r.Blocks {
		w.Blocks = append(w.Blocks, b.Bytes())
	}
	return canon.Marshal(w)
}

// ParseRequest reads what Encode wrote.
func ParseRequest(b []byte) (Request, error) {
	var w request
	if err := canon.Unmarshal(b, &w); err != nil {
		return Request{}, fmt.Errorf("read question: %w", err)
	}
	r := Request{What: w.What}
	switch w.What {
	case About, Item, All, Recover, Drain, Undrain, Replace, Prove:
	default:
		return Request{}, fmt.Errorf("question %q: want about, item, all, prove, recover, drain, undrain or replace", clean(w.What))
	}
	if len(w.CID) > 0 {
		c, err := cid.Cast(w.CID)
		if err != nil {
			return Request{}, fmt.Errorf("read question: %w", err)
		}
		r.CID = c
	}
	if w.What == Replace {
		id, err := peer.IDFromBytes(w.Peer)
		if err != nil {
			return Request{}, fmt.Errorf("read question: %w", err)
		}
		r.Peer = id
	}
	if (w.What == Item || w.What == Prove) && !r.CID.Defined() {
		return Request{}, fmt.Errorf("read question: no cid")
	}
	return r, r.takeExam(w)
}

func (r *Request) takeExam(w request) error {
	if w.What == Prove && (len(w.Nonce) != NonceSize || len(w.Blocks) > MaxProofs) {
		return fmt.Errorf("read question: a nonce of %d bytes, %d blocks", len(w.Nonce), len(w.Blocks))
	}
	r.Nonce = w.Nonce
	for _, b := range w.Blocks {
		c, err := cid.Cast(b)
		if err != nil {
			return fmt.Errorf("read question: %w", err)
		}
		r.Blocks = append(r.Blocks, c)
	}
	return nil
}

// Member is what a member says of itself when asked.
type Member struct {
	Version   string
	IPFS      pinset.NodeID
	IPFSError string // why IPFS is not there
	Used      uint64 // bytes of what it placed
	Queued    uint64 // items that wait
	Pins      uint64 // live pins it knows
	Traffic   string // how the limits of its line stand; "": there are none
}

// Frame is a part of an answer.
type Frame struct {
	Member *Member
	Locals []pinset.Local
	Proofs [][]byte // one for each block that was asked about; empty: it is not there
	Block  []byte   // bytes of the CID that was asked about
}

type frame struct {
	Member *member  `cbor:"m,omitempty"`
	Locals []local  `cbor:"l,omitempty"`
	Proofs [][]byte `cbor:"p,omitempty"`
	Block  []byte   `cbor:"k,omitempty"`
}

// Bounds of what can be proven at once.
const (
	NonceSize = 32
	MaxProofs = 16
	MaxBlock  = 900 << 10 // bytes of a block that is sent: a frame is at most 1 MiB
)

type member struct {
	Version string   `cbor:"v,omitempty"`
	IPFS    []byte   `cbor:"ipfs,omitempty"`
	Addrs   []string `cbor:"addrs,omitempty"`
	Agent   string   `cbor:"agent,omitempty"`
	Error   string   `cbor:"err,omitempty"`
	Used    uint64   `cbor:"used,omitempty"`
	Queued  uint64   `cbor:"queued,omitempty"`
	Pins    uint64   `cbor:"pins,omitempty"`
	Traffic string   `cbor:"line,omitempty"`
}

// local is a pinset.Local; times are Unix milliseconds.
type local struct {
	CID      []byte `cbor:"c"`
	Direct   bool   `cbor:"d,omitempty"`
	Status   string `cbor:"s"`
	Since    int64  `cbor:"t,omitempty"`
	Blocks   uint64 `cbor:"b,omitempty"`
	Bytes    uint64 `cbor:"y,omitempty"`
	Size     uint64 `cbor:"z,omitempty"`
	Attempts int    `cbor:"n,omitempty"`
	Retry    int64  `cbor:"r,omitempty"`
	Error    string `cbor:"e,omitempty"`
	Interim  bool   `cbor:"i,omitempty"`
	Borrowed bool   `cbor:"o,omitempty"`
}

const (
	maxAddrs  = 64
	maxText   = 500
	maxLocals = 1024 // of one frame
)

// Encode returns the frame's bytes: never more than 1 MiB for up to BatchLocals.
func (f Frame) Encode() ([]byte, error) {
	w := frame{Proofs: f.Proofs, Block: f.Block}
	if m := f.Member; m != nil {
		w.Member = &member{
			Version: clean(m.Version), IPFS: []byte(m.IPFS.Peer), Agent: clean(m.IPFS.Agent), Error: clean(m.IPFSError),
			Used: m.Used, Queued: m.Queued, Pins: m.Pins, Traffic: clean(m.Traffic),
		}
		for _, a := range m.IPFS.Addresses[:min(len(m.IPFS.Addresses), maxAddrs)] {
			w.Member.Addrs = append(w.Member.Addrs, clean(a))
		}
	}
	for _, l := range f.Locals {
		w.Locals = append(w.Locals, local{
			CID: l.CID.Bytes(), Direct: l.Mode == pinset.Direct, Status: l.Status.String(), Since: milli(l.Since),
			Blocks: l.Progress.Blocks, Bytes: l.Progress.Bytes, Size: l.Size, Attempts: l.Attempts, Retry: milli(l.Retry),
			Error: clean(l.Error), Interim: l.Interim, Borrowed: l.Borrowed,
		})
	}
	return canon.Marshal(w)
}

// BatchLocals is how many Locals a frame should carry.
const BatchLocals = 256

// ParseFrame reads what Encode wrote, by whatever version. Texts come out without
// control characters.
func ParseFrame(b []byte) (Frame, error) {
	var w frame
	if err := canon.Unmarshal(b, &w); err != nil {
		return Frame{}, fmt.Errorf("read answer: %w", err)
	}
	if len(w.Locals) > maxLocals {
		return Frame{}, fmt.Errorf("read answer: %d items in a frame, at most %d", len(w.Locals), maxLocals)
	}
	if len(w.Proofs) > MaxProofs {
		return Frame{}, fmt.Errorf("read answer: %d proofs, at most %d", len(w.Proofs), MaxProofs)
	}
	f := Frame{Proofs: w.Proofs, Block: w.Block}
	if w.Member != nil {
		m, err := w.Member.open()
		if err != nil {
			return Frame{}, fmt.Errorf("read answer: %w", err)
		}
		f.Member = &m
	}
	for _, l := range w.Locals {
		c, err := cid.Cast(l.CID)
		if err != nil {
			return Frame{}, fmt.Errorf("read answer: %w", err)
		}
		out := pinset.Local{
			CID: c, Since: fromMilli(l.Since), Progress: pinset.Progress{Blocks: l.Blocks, Bytes: l.Bytes}, Size: l.Size,
			Attempts: min(max(l.Attempts, 0), math.MaxInt32), Retry: fromMilli(l.Retry), Error: clean(l.Error), Interim: l.Interim, Borrowed: l.Borrowed,
		}
		if l.Direct {
			out.Mode = pinset.Direct
		}
		if out.Status, err = pinset.ParseStatus(l.Status); err != nil {
			out.Status = pinset.StatusUndefined // of a newer version
		}
		f.Locals = append(f.Locals, out)
	}
	return f, nil
}

func (w *member) open() (Member, error) {
	m := Member{
		Version: clean(w.Version), IPFSError: clean(w.Error), Used: w.Used, Queued: w.Queued, Pins: w.Pins, Traffic: clean(w.Traffic),
		IPFS: pinset.NodeID{Agent: clean(w.Agent)},
	}
	if len(w.IPFS) > 0 {
		id, err := peer.IDFromBytes(w.IPFS)
		if err != nil {
			return m, err
		}
		m.IPFS.Peer = id
	}
	for _, a := range w.Addrs[:min(len(w.Addrs), maxAddrs)] {
		m.IPFS.Addresses = append(m.IPFS.Addresses, clean(a))
	}
	return m, nil
}

// clean makes a text of somebody else fit for a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

const maxMilli = 253402300799000 // year 9999

func fromMilli(ms int64) time.Time {
	if ms <= 0 || ms > maxMilli {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
