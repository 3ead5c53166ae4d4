package dialect

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// scanPin reads a pin in exactly the layout that Encoder.Pin writes, with plain
// strings and no receipt: what lists consist of. It gives up, without an error,
// on everything else; encoding/json decides about that.
func scanPin(line []byte) (p PinReply, ok bool) {
	s := scanner{rest: line, ok: true}
	s.skip(`{"replication_factor_min":`)
	p.Replication.Min = s.integer()
	s.skip(`,"replication_factor_max":`)
	p.Replication.Max = s.integer()
	s.skip(`,"name":`)
	p.Name = s.text()
	s.skip(`,"mode":`)
	p.Mode = s.mode()
	s.skip(`,"shard_size":0,"user_allocations":`)
	p.Include = s.peers()
	s.skip(`,"expire_at":`)
	p.ExpireAt = s.time()
	s.skip(`,"metadata":{},"pin_update":null,"origins":`)
	p.Origins = s.texts()
	s.skip(`,"cid":`)
	p.CID = s.cid()
	s.skip(`,"type":"pin","allocations":`)
	p.Allocations = s.peers()
	s.skip(`,"max_depth":`)
	s.integer()
	s.skip(`,"reference":null,"timestamp":`)
	p.Created = s.time()
	if s.has(`,"owner":`) {
		p.Owner = s.text()
	}
	if s.has(`,"tags":`) {
		p.Tags = s.texts()
	}
	if s.has(`,"size":`) {
		p.Size = s.unsigned()
	}
	if s.has(`,"priority":`) {
		var err error
		p.Priority, err = pinset.ParsePriority(s.text())
		s.ok = s.ok && err == nil
	}
	s.skip("}")
	return p, s.ok && len(bytes.TrimRight(s.rest, "\n")) == 0
}

// scanner takes values off the front of rest until one is not as expected.
type scanner struct {
	rest []byte
	ok   bool
}

func (s *scanner) has(prefix string) bool {
	if len(s.rest) < len(prefix) || string(s.rest[:len(prefix)]) != prefix {
		return false
	}
	s.rest = s.rest[len(prefix):]
	return true
}

func (s *scanner) skip(prefix string) {
	if !s.has(prefix) {
		s.ok = false
	}
}

// raw takes a string without escapes; its bytes belong to the line.
func (s *scanner) raw() []byte {
	if !s.ok || len(s.rest) == 0 || s.rest[0] != '"' {
		s.ok = false
		return nil
	}
	end := bytes.IndexByte(s.rest[1:], '"') + 1
	if end == 0 {
		s.ok = false
		return nil
	}
	out := s.rest[1:end]
	if !plain(out) {
		s.ok = false
		return nil
	}
	s.rest = s.rest[end+1:]
	return out
}

// plain says whether b is printable ASCII without a backslash, eight at a time:
// no byte has its high bit, is below a space, or is DEL or a backslash.
func plain(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		slash := w ^ ones*'\\'
		if (w|(w-ones*' ')|(w+ones)|(slash-ones))&high != 0 {
			return plainBytes(b[:8]) && plain(b[8:])
		}
	}
	return plainBytes(b)
}

func plainBytes(b []byte) bool {
	for _, ch := range b {
		if ch < ' ' || ch > '~' || ch == '\\' {
			return false
		}
	}
	return true
}

func (s *scanner) text() string { return string(s.raw()) }

func (s *scanner) integer() int {
	sign := 1
	if s.has("-") {
		sign = -1
	}
	n := s.unsigned()
	if n > 1<<31 {
		s.ok = false
	}
	return sign * int(n)
}

func (s *scanner) unsigned() (n uint64) {
	i := 0
	for ; i < len(s.rest) && i < 19 && s.rest[i]-'0' <= 9; i++ {
		n = n*10 + uint64(s.rest[i]-'0')
	}
	if i == 0 || i == 19 || i > 1 && s.rest[0] == '0' {
		s.ok = false
	}
	s.rest = s.rest[i:]
	return n
}

func (s *scanner) mode() pinset.Mode {
	m, err := pinset.ParseMode(string(s.raw()))
	s.ok = s.ok && err == nil
	return m
}

func (s *scanner) cid() cid.Cid {
	raw := s.raw()
	if len(raw) > 1 && raw[0] == 'b' {
		var buf [128]byte
		if n := base32Lower.DecodedLen(len(raw) - 1); n <= len(buf) {
			n, err := base32Lower.Decode(buf[:], raw[1:])
			if err == nil {
				if c, err := cid.Cast(buf[:n]); err == nil && c.Version() == 1 {
					return c
				}
			}
		}
	}
	c, err := cid.Decode(string(raw))
	s.ok = s.ok && err == nil
	return c
}

// elements calls each for every element of an array.
func (s *scanner) elements(each func()) {
	s.skip("[")
	for first := true; s.ok && !s.has("]"); first = false {
		if !first {
			s.skip(",")
		}
		each()
	}
}

func (s *scanner) texts() (out []string) {
	s.elements(func() { out = append(out, s.text()) })
	return out
}

func (s *scanner) peers() (out []peer.ID) {
	s.elements(func() {
		id, err := peer.Decode(string(s.raw()))
		s.ok = s.ok && err == nil
		out = append(out, id)
	})
	return out
}

// time takes whole seconds in UTC.
func (s *scanner) time() time.Time {
	raw := s.raw()
	if string(raw) == "0001-01-01T00:00:00Z" {
		return time.Time{}
	}
	t, err := time.Parse("2006-01-02T15:04:05Z", string(raw))
	s.ok = s.ok && err == nil && len(raw) == 20
	return t.UTC()
}
