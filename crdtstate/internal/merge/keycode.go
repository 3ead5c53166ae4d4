package merge

import (
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
)

// Keys of cells are the CRDT's keys, shortened: in /p/<cid>/<owner> and /s/<cid>
// the CID's base32 text is packed five bits a letter, in the alphabet
// 234567a-z, whose order is that of the text (base32's own is a-z234567). So a scan yields the order of the textual keys. All other
// keys are kept as text.
const (
	cellPrefix = 'k'
	pinTag     = 'p'
	sizeTag    = 's'
	textTag    = 't'
)

// code returns the store's key of the cell of a CRDT key.
func code(key string) ([]byte, error) {
	switch {
	case strings.HasPrefix(key, "/p/"):
		text, owner, ok := strings.Cut(key[3:], "/")
		if !ok {
			return nil, fmt.Errorf("key %q: no owner", key)
		}
		b, err := pack([]byte{cellPrefix, pinTag}, text)
		return append(b, owner...), err
	case strings.HasPrefix(key, "/s/"):
		return pack([]byte{cellPrefix, sizeTag}, key[3:])
	}
	return append([]byte{cellPrefix, textTag}, key...), nil
}

// text is the inverse of code.
func text(b []byte) (string, error) {
	if len(b) < 2 || b[0] != cellPrefix {
		return "", fmt.Errorf("cell key %x: not one", b)
	}
	switch b[1] {
	case textTag:
		return string(b[2:]), nil
	case pinTag, sizeTag:
		c, rest, err := unpack(b[2:])
		if err != nil {
			return "", err
		}
		s, err := c.StringOfBase(multibase.Base32)
		if err != nil {
			return "", err
		}
		if b[1] == sizeTag {
			return "/s/" + s, nil
		}
		return "/p/" + s + "/" + string(rest), nil
	}
	return "", fmt.Errorf("cell key %x: unknown kind", b)
}

// pack appends the base32 text of a CID, five bits a letter.
func pack(dst []byte, text string) ([]byte, error) {
	if len(text) < 2 || text[0] != multibase.Base32 {
		return nil, fmt.Errorf("cid %q: not in base32", text)
	}
	var acc uint32
	var bits uint
	for i := 1; i < len(text); i++ {
		v := letter(text[i])
		if v > 31 {
			return nil, fmt.Errorf("cid %q: not in base32", text)
		}
		acc, bits = acc<<5|uint32(v), bits+5
		if bits >= 8 {
			bits -= 8
			dst = append(dst, byte(acc>>bits))
		}
	}
	if bits > 0 {
		dst = append(dst, byte(acc<<(8-bits)))
	}
	return dst, nil
}

// letter is the value of a letter in the text's order, 255 for none.
func letter(c byte) byte {
	switch {
	case c >= '2' && c <= '7':
		return c - '2'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 6
	}
	return 255
}

// standard turns a letter's value in the text's order into base32's.
func standard(v byte) byte {
	if v < 6 {
		return v + 26
	}
	return v - 6
}

// unpack reads a packed CID and returns what follows it.
func unpack(b []byte) (cid.Cid, []byte, error) {
	// A CID says itself where it ends: translate everything, five bits at a time,
	// then look how much was the CID.
	raw := make([]byte, 0, len(b))
	var in, out uint32
	var inBits, outBits uint
	for _, c := range b {
		in, inBits = in<<8|uint32(c), inBits+8
		for inBits >= 5 {
			inBits -= 5
			out, outBits = out<<5|uint32(standard(byte(in>>inBits)&31)), outBits+5
			if outBits >= 8 {
				outBits -= 8
				raw = append(raw, byte(out>>outBits))
			}
		}
	}
	n, c, err := cid.CidFromBytes(raw)
	if err != nil {
		return cid.Undef, nil, fmt.Errorf("cell key %x: %w", b, err)
	}
	letters := (n*8 + 4) / 5
	return c, b[(letters*5+7)/8:], nil
}
