package receipt

import (
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

const (
	kind    = "receipt"
	version = 1

	// MaxBytes bounds the signed part.
	MaxBytes = 16 << 20
	maxUnix  = 253402300799 // year 9999
)

// Receipt is what is signed.
type Receipt struct {
	At       time.Time // whole seconds
	CID      cid.Cid   // as it was asked for
	Founding []byte
	View     [32]byte         // digest of the membership
	Evidence []identity.Entry // of members, roles and policy, by key
	Pins     []Pin            // by key
	Size     uint64           // of the CID's DAG as members published it, 0: not
	SizeBy   Change           // if Size is not 0
	PolicyBy Change           // if the policy was ruled
	Founder  []byte           // the founder's latest statement, nil: it has left
	Words    []Word           // by holder
}

// Change names a delta.
type Change struct {
	Author peer.ID
	Seq    uint64
}

// Pin is one owner's pin and the change that made it.
type Pin struct {
	Pin pinset.Pin
	By  Change
}

// Word is what one holder said.
type Word struct {
	Holder peer.ID
	First  []byte // statement, nil: the latest is the first that says so
	Latest []byte
}

type record struct {
	V        uint64  `cbor:"v"`
	At       uint64  `cbor:"at"`
	CID      []byte  `cbor:"cid"`
	Founding []byte  `cbor:"founding"`
	View     []byte  `cbor:"view"`
	Evidence []entry `cbor:"evidence"`
	Pins     []pin   `cbor:"pins"`
	Size     uint64  `cbor:"size,omitempty"`
	SizeBy   *change `cbor:"sizeby,omitempty"`
	PolicyBy *change `cbor:"policyby,omitempty"`
	Founder  []byte  `cbor:"founder,omitempty"`
	Words    []word  `cbor:"words"`
}

type entry struct {
	Key   string `cbor:"k"`
	Value []byte `cbor:"v"`
}

type change struct {
	Author []byte `cbor:"a"`
	Seq    uint64 `cbor:"s"`
}

type pin struct {
	Key   string `cbor:"k"`
	Value []byte `cbor:"v"`
	By    change `cbor:"by"`
}

type word struct {
	Holder []byte `cbor:"p"`
	First  []byte `cbor:"first,omitempty"`
	Latest []byte `cbor:"last"`
}

func (c Change) wire() change { return change{[]byte(c.Author), c.Seq} }

func (c change) open() (Change, error) {
	id, err := peer.IDFromBytes(c.Author)
	return Change{id, c.Seq}, err
}

// Seal signs a receipt with the issuer's key.
func (r Receipt) Seal(k identity.Key, c identity.ClusterID) ([]byte, error) {
	w := record{V: version, At: uint64(max(r.At.Unix(), 0)), CID: r.CID.Bytes(), Founding: r.Founding, View: r.View[:], Size: r.Size, Founder: r.Founder}
	for _, e := range r.Evidence {
		w.Evidence = append(w.Evidence, entry{e.Key, e.Value})
	}
	for _, p := range r.Pins {
		value, err := p.Pin.Encode()
		if err != nil {
			return nil, err
		}
		w.Pins = append(w.Pins, pin{p.Pin.Key(), value, p.By.wire()})
	}
	for by, to := range map[*Change]**change{&r.SizeBy: &w.SizeBy, &r.PolicyBy: &w.PolicyBy} {
		if by.Author != "" {
			x := by.wire()
			*to = &x
		}
	}
	for _, x := range r.Words {
		w.Words = append(w.Words, word{[]byte(x.Holder), x.First, x.Latest})
	}
	payload, err := canon.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("sign receipt: %w", err)
	}
	raw, err := identity.Seal(k, kind, c, payload)
	if err == nil && len(raw) > MaxBytes {
		err = pinset.Errorf(pinset.KindRefused, "the receipt has %s, at most %s", pinset.FormatSize(uint64(len(raw))), pinset.FormatSize(MaxBytes))
	}
	return raw, err
}

// Open verifies the signature, form, and founding record of a receipt of a cluster.
func Open(c identity.ClusterID, raw []byte) (r Receipt, issuer peer.ID, f *identity.Founding, err error) {
	if len(raw) > MaxBytes {
		return r, "", nil, fmt.Errorf("%d bytes, at most %d", len(raw), MaxBytes)
	}
	issuer, payload, err := identity.Unseal(kind, c, raw)
	if err != nil {
		return r, "", nil, fmt.Errorf("the signature is not one of this cluster's receipts: %w", err)
	}
	var w record
	if err := canon.Unmarshal(payload, &w); err != nil {
		return r, issuer, nil, err
	}
	if w.V != version {
		return r, issuer, nil, fmt.Errorf("version %d: %w", w.V, identity.ErrNewer)
	}
	if f, err = identity.ParseFounding(w.Founding); err != nil {
		return r, issuer, nil, err
	}
	if f.ID() != c {
		return r, issuer, f, fmt.Errorf("it has the founding record of %s, not of %s", f.ID(), c)
	}
	r, err = w.open()
	return r, issuer, f, err
}

func (w record) open() (Receipt, error) {
	r := Receipt{Founding: w.Founding, Size: w.Size, Founder: w.Founder}
	if len(w.View) != 32 || w.At > maxUnix {
		return r, fmt.Errorf("digest of %d bytes, time %d", len(w.View), w.At)
	}
	r.At, r.View = time.Unix(int64(w.At), 0).UTC(), [32]byte(w.View)
	var err error
	if r.CID, err = cid.Cast(w.CID); err != nil {
		return r, fmt.Errorf("cid: %w", err)
	}
	for _, e := range w.Evidence {
		r.Evidence = append(r.Evidence, identity.Entry{Key: e.Key, Value: e.Value})
	}
	for _, p := range w.Pins {
		x := Pin{}
		if x.Pin, err = pinset.Check(p.Key, p.Value); err != nil {
			return r, fmt.Errorf("pin %s: %w", p.Key, err)
		}
		if x.By, err = p.By.open(); err != nil {
			return r, fmt.Errorf("author of pin %s: %w", p.Key, err)
		}
		r.Pins = append(r.Pins, x)
	}
	for _, x := range w.Words {
		id, err := peer.IDFromBytes(x.Holder)
		if err != nil {
			return r, fmt.Errorf("holder: %w", err)
		}
		r.Words = append(r.Words, Word{id, x.First, x.Latest})
	}
	if w.SizeBy != nil {
		if r.SizeBy, err = w.SizeBy.open(); err != nil {
			return r, fmt.Errorf("author of the size: %w", err)
		}
	}
	if w.PolicyBy != nil {
		if r.PolicyBy, err = w.PolicyBy.open(); err != nil {
			return r, fmt.Errorf("author of the policy: %w", err)
		}
	}
	return r, nil
}
