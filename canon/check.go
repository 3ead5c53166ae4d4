package canon

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
)

// Limits of what is read.
const (
	maxNested = 16
	maxArray  = 65536
	maxPairs  = 4096
)

// Major types of CBOR (RFC 8949, 3.1).
const (
	majorUint  = 0
	majorInt   = 1
	majorBytes = 2
	majorText  = 3
	majorArray = 4
	majorMap   = 5
	majorTag   = 6
)

// Check says whether b is the canonical encoding of some value. Errors wrap
// ErrNotCanonical. It reads the bytes once and keeps nothing: every pin of every
// peer passes here.
func Check(b []byte) error {
	s := scanner{b: b}
	if err := s.value(0); err != nil {
		return err
	}
	if len(s.b) > 0 {
		return fmt.Errorf("%w: %d bytes after the value", ErrNotCanonical, len(s.b))
	}
	return nil
}

// scanner walks over an encoding; b is what is left of it.
type scanner struct{ b []byte }

// head reads the first bytes of an item: its major type and its argument, which
// must be spelled as short as it can be.
func (s *scanner) head() (major byte, arg uint64, err error) {
	if len(s.b) == 0 {
		return 0, 0, fmt.Errorf("%w: cut off", ErrNotCanonical)
	}
	major, info := s.b[0]>>5, s.b[0]&31
	s.b = s.b[1:]
	if info < 24 {
		return major, uint64(info), nil
	}
	n, least := 0, uint64(0)
	switch info {
	case 24:
		n, least = 1, 24
	case 25:
		n, least = 2, 1<<8
	case 26:
		n, least = 4, 1<<16
	case 27:
		n, least = 8, 1<<32
	default:
		return 0, 0, fmt.Errorf("%w: indefinite length", ErrNotCanonical)
	}
	if len(s.b) < n {
		return 0, 0, fmt.Errorf("%w: cut off", ErrNotCanonical)
	}
	var wide [8]byte
	copy(wide[8-n:], s.b[:n])
	s.b = s.b[n:]
	if arg = binary.BigEndian.Uint64(wide[:]); arg < least {
		return 0, 0, fmt.Errorf("%w: %d spelled in %d bytes", ErrNotCanonical, arg, n)
	}
	return major, arg, nil
}

// take returns the next n bytes.
func (s *scanner) take(n uint64) ([]byte, error) {
	if n > uint64(len(s.b)) {
		return nil, fmt.Errorf("%w: cut off", ErrNotCanonical)
	}
	out := s.b[:n]
	s.b = s.b[n:]
	return out, nil
}

// value passes one value. Depth counts the arrays and maps around it.
func (s *scanner) value(depth int) error {
	first := byte(0)
	if len(s.b) > 0 {
		first = s.b[0]
	}
	major, arg, err := s.head()
	if err != nil {
		return err
	}
	switch major {
	case majorUint:
	case majorInt:
		if arg > 1<<63-1 {
			return fmt.Errorf("%w: a negative number beyond 64 bits", ErrNotCanonical)
		}
	case majorBytes:
		_, err = s.take(arg)
	case majorText:
		_, err = s.text(arg)
	case majorArray:
		err = s.array(arg, depth+1)
	case majorMap:
		err = s.pairs(arg, depth+1)
	case majorTag:
		err = s.link(arg)
	default:
		const null, no, yes = 0xf6, 0xf4, 0xf5
		if first != null && first != no && first != yes {
			err = fmt.Errorf("%w: a float or simple value %#x", ErrNotCanonical, first)
		}
	}
	return err
}

func (s *scanner) text(n uint64) ([]byte, error) {
	b, err := s.take(n)
	if err == nil && !utf8.Valid(b) {
		err = fmt.Errorf("%w: text that is not UTF-8", ErrNotCanonical)
	}
	return b, err
}

func (s *scanner) array(n uint64, depth int) error {
	if depth > maxNested || n > maxArray {
		return fmt.Errorf("%w: an array of %d at depth %d", ErrNotCanonical, n, depth)
	}
	for range n {
		if err := s.value(depth); err != nil {
			return err
		}
	}
	return nil
}

// pairs passes the pairs of a map, whose keys must rise.
func (s *scanner) pairs(n uint64, depth int) error {
	if depth > maxNested || n > maxPairs {
		return fmt.Errorf("%w: a map of %d at depth %d", ErrNotCanonical, n, depth)
	}
	var last []byte
	for i := range n {
		key, err := s.key()
		if err != nil {
			return err
		}
		if i > 0 && !rises(last, key) {
			return fmt.Errorf("%w: key %.40q after %.40q", ErrNotCanonical, key, last)
		}
		last = key
		if err := s.value(depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) key() ([]byte, error) {
	major, n, err := s.head()
	if err == nil && major != majorText {
		err = fmt.Errorf("%w: a key that is no text", ErrNotCanonical)
	}
	if err != nil {
		return nil, err
	}
	return s.text(n)
}

// rises says whether key b comes after key a: the shorter first, then bytewise.
func rises(a, b []byte) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return string(a) < string(b)
}

// link passes what a tag stands before: only that of a CID may be there.
func (s *scanner) link(tag uint64) error {
	const linkTag = 42
	major, n, err := s.head()
	if err == nil && (tag != linkTag || major != majorBytes) {
		err = fmt.Errorf("%w: tag %d", ErrNotCanonical, tag)
	}
	if err != nil {
		return err
	}
	raw, err := s.take(n)
	if err != nil {
		return err
	}
	if len(raw) < 2 || raw[0] != 0 {
		return fmt.Errorf("%w: tag %d", ErrNotCanonical, tag)
	}
	if _, err := cid.Cast(raw[1:]); err != nil {
		return fmt.Errorf("%w: link: %v", ErrNotCanonical, err)
	}
	return nil
}

// unknown says whether a canonical map has a key that is not among names.
func unknown(b []byte, names []string) bool {
	s := scanner{b: b}
	major, n, err := s.head()
	if err != nil || major != majorMap {
		return false
	}
	for range n {
		key, err := s.key()
		if err != nil || s.value(1) != nil {
			return false // not canonical
		}
		known := false
		for _, name := range names {
			known = known || name == string(key)
		}
		if !known {
			return true
		}
	}
	return false
}
