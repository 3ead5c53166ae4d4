package pinset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// Export says what a copy of a pinset is: whose, by whom, and when its first pin was
// read. Pins and Digest are known at its end.
type Export struct {
	Cluster string // its id
	Name    string // of the cluster
	By      peer.ID
	At      time.Time // whole seconds, UTC
	Pins    uint64
	Digest  [32]byte // ExportDigest of the pins
}

type exportRecord struct {
	Cluster string `cbor:"cluster"`
	Name    string `cbor:"name"`
	By      []byte `cbor:"by"`
	At      int64  `cbor:"at"`
	Pins    uint64 `cbor:"pins,omitempty"`
	Digest  []byte `cbor:"digest,omitempty"`
}

// What is signed begins with one of these and a zero byte.
const (
	exportHead = "pinfold/export/1"
	exportEnd  = "pinfold/export/end/1"
)

// Head is the bytes that By signs at the beginning.
func (e Export) Head() []byte {
	return signedExport(exportHead, exportRecord{Cluster: e.Cluster, Name: e.Name, By: []byte(e.By), At: e.At.Unix()})
}

// End is the bytes that By signs at the end.
func (e Export) End() []byte {
	return signedExport(exportEnd, exportRecord{e.Cluster, e.Name, []byte(e.By), e.At.Unix(), e.Pins, e.Digest[:]})
}

func signedExport(domain string, r exportRecord) []byte {
	b, err := canon.Marshal(r)
	if err != nil {
		panic(err) // texts, bytes and numbers
	}
	return append(append([]byte(domain), 0), b...)
}

// Verify says whether By signed a message.
func (e Export) Verify(message, signature []byte) error {
	key, err := e.By.ExtractPublicKey()
	if err != nil {
		return Invalid("export by %s: %v", e.By, err)
	}
	if ok, err := key.Verify(message, signature); err != nil || !ok {
		return Invalid("export: the signature is not that of %s", e.By)
	}
	return nil
}

// ExportDigest is over pins in the order of their keys: SHA-256 of key and value of
// each, both after their length as 4 bytes, big endian. Two pinsets have one digest
// if they have the same pins, whatever their history.
type ExportDigest struct {
	h    hash.Hash
	last string
	n    uint64
}

// Add takes the next pin.
func (d *ExportDigest) Add(p Pin) error {
	value, err := p.Encode()
	if err != nil {
		return err
	}
	key := p.Key()
	if d.h == nil {
		d.h = sha256.New()
	} else if key <= d.last {
		return Invalid("pin %s: out of order", p.CID)
	}
	d.last = key
	d.n++
	for _, b := range [][]byte{[]byte(key), value} {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(b)))
		d.h.Write(size[:])
		d.h.Write(b)
	}
	return nil
}

// Sum returns how many pins were added, and their digest.
func (d *ExportDigest) Sum() (n uint64, digest [32]byte) {
	if d.h == nil {
		return 0, sha256.Sum256(nil)
	}
	d.h.Sum(digest[:0])
	return d.n, digest
}

// Import is what became, or with DryRun would become, of pins that were brought in.
type Import struct {
	DryRun  bool   `json:"dry_run"`
	Lines   uint64 `json:"lines"`
	Added   uint64 `json:"added"`
	Same    uint64 `json:"same"`    // there already, as they are
	Kept    uint64 `json:"kept"`    // there already, and different: left as they are
	Changed uint64 `json:"changed"` // there already, and different: replaced
	Expired uint64 `json:"expired"` // not added: their time is over
	Dropped uint64 `json:"dropped"` // named members that are none here, and were left out of their pins
	// Bad are lines that could not be used; they are passed over. The first of them
	// are named.
	Bad      uint64    `json:"bad"`
	BadLines []BadLine `json:"bad_lines"`
	Source   string    `json:"source"` // pinfold or ipfs-cluster
	// Signed says that the export's signatures and digest are right. By is who signed
	// it, whether or not; Member, whether that is a member here.
	Signed bool   `json:"signed"`
	By     string `json:"by,omitempty"`
	Member bool   `json:"member"`
}

// BadLine is a line that could not be used.
type BadLine struct {
	Line  uint64 `json:"line"`
	Value string `json:"value"` // what is wrong with it, or its beginning
	Error string `json:"error"`
}

// MaxBadLines are named; the rest is counted.
const MaxBadLines = 20

// Spoil notes a line that could not be used.
func (i *Import) Spoil(line uint64, value string, err error) {
	i.Bad++
	if len(value) > 200 {
		value = fmt.Sprintf("%.200s…", value)
	}
	if len(i.BadLines) < MaxBadLines {
		i.BadLines = append(i.BadLines, BadLine{line, value, err.Error()})
	}
}

// ImportOptions say what an import may do.
type ImportOptions struct {
	DryRun  bool // change nothing, and count
	Replace bool // pins that are there and differ; else they stay as they are
}

// ImportLine is a pin that is brought in, or what is wrong with its line.
type ImportLine struct {
	Line uint64 // from 1
	Text string // of a line that is wrong: the value, or its beginning
	Pin  Pin
	Err  error
}
