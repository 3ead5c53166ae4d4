package blocklog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// ErrUnknown is returned for a block that is not in the log.
var ErrUnknown = errors.New("block not in the log")

// Reader reads a log from the store. It is safe for concurrent use.
type Reader struct {
	db    kv.DB
	codec codec
	base  *Base
}

// NewReader returns a reader of the log in db.
func NewReader(db kv.DB) (*Reader, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	base, err := readBase(db)
	return &Reader{db: db, codec: c, base: base}, err
}

// Blocks is the number of positions that were written.
func (r *Reader) Blocks() uint64 {
	end := uint64(0)
	for step := uint64(1) << 62; step > 0; step >>= 1 {
		if _, err := r.db.Get(at(metaPrefix, end+step-1)); err == nil {
			end += step
		}
	}
	return end
}

// Position is where a block stands, -1 when it is not in the log.
func (r *Reader) Position(c cid.Cid) (int64, error) {
	b, err := r.db.Get(byCID(indexPrefix, c))
	if errors.Is(err, kv.ErrNotFound) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("look up block %s: %w", c, err)
	}
	pos, n := binary.Uvarint(b)
	if n <= 0 {
		return -1, fmt.Errorf("look up block %s: %w", c, errDamaged)
	}
	return int64(pos), nil
}

// Meta returns what is kept of the block at pos, or ErrUnknown.
func (r *Reader) Meta(pos uint64) (Meta, error) {
	b, err := r.db.Get(at(metaPrefix, pos))
	if errors.Is(err, kv.ErrNotFound) {
		err = ErrUnknown
	}
	if err != nil {
		return Meta{}, fmt.Errorf("read block %d: %w", pos, err)
	}
	m, err := decodeMeta(pos, b)
	if err != nil {
		return m, fmt.Errorf("read block %d: %w", pos, err)
	}
	return m, nil
}

// Raw returns the bytes of the block at pos, ErrUnknown, or ErrFolded.
func (r *Reader) Raw(pos uint64) ([]byte, error) {
	if pos < r.Folded() {
		return nil, fmt.Errorf("read block %d: %w", pos, ErrFolded)
	}
	b, err := r.db.Get(at(blockPrefix, pos))
	if errors.Is(err, kv.ErrNotFound) {
		err = ErrUnknown
	}
	if err == nil {
		b, err = r.codec.decompress(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", pos, err)
	}
	return b, nil
}

// AuthorOf returns the peer id of an author's number.
func (r *Reader) AuthorOf(number uint32) (peer.ID, error) {
	b, err := r.db.Get(at(authorPrefix, uint64(number)))
	if err != nil {
		return "", fmt.Errorf("read author %d: %w", number, err)
	}
	a, err := decodeAuthor(b)
	return a.ID, err
}

// Authors returns the table of authors, by number.
func (r *Reader) Authors() ([]Author, error) {
	var out []Author
	var bad error
	err := r.db.Scan([]byte{authorPrefix}, []byte{authorPrefix + 1}, func(_, v []byte) bool {
		var a Author
		a, bad = decodeAuthor(v)
		out = append(out, a)
		return bad == nil
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read authors: %w", err)
	}
	return out, nil
}

// Forks returns the evidence of forks.
func (r *Reader) Forks() ([]Fork, error) {
	var out []Fork
	var bad error
	err := r.db.Scan([]byte{forkPrefix}, []byte{forkPrefix + 1}, func(k, v []byte) bool {
		var f Fork
		f, bad = decodeFork(k[1:], v)
		out = append(out, f)
		return bad == nil
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read evidence of forks: %w", err)
	}
	return out, nil
}

// metas returns those of [from, to).
func (r *Reader) metas(from, to uint64) ([]Meta, error) {
	out := make([]Meta, 0, to-from)
	var bad error
	err := r.db.Scan(at(metaPrefix, from), at(metaPrefix, to), func(k, v []byte) bool {
		var m Meta
		m, bad = decodeMeta(binary.BigEndian.Uint64(k[1:]), v)
		out = append(out, m)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if err == nil && uint64(len(out)) != to-from {
		err = ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("read blocks %d to %d: %w", from, to, err)
	}
	return out, nil
}
