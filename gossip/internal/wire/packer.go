package wire

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/pinfold/pinfold/canon"
)

// Packer packs and unpacks messages of the topic.
type Packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

const (
	packPlain = 0
	packZstd  = 1
	packAbove = 512 // smaller ones gain nothing
)

// NewPacker makes one; Close ends it.
func NewPacker() (*Packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10))
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &Packer{enc: enc, dec: dec}, nil
}

// Close ends it; later messages are refused.
func (p *Packer) Close() { p.dec.Close() }

// Pack encodes a message, compressed if that makes it smaller.
func (p *Packer) Pack(m *Message) ([]byte, error) {
	b, err := canon.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode Message: %w", err)
	}
	if len(b) > packAbove {
		if packed := p.enc.EncodeAll(b, []byte{packZstd}); len(packed) < len(b) {
			return packed, nil
		}
	}
	return append([]byte{packPlain}, b...), nil
}

// Unpack decodes and checks a message.
func (p *Packer) Unpack(b []byte) (*Message, error) {
	if len(b) == 0 || len(b) > MaxMessage {
		return nil, ErrForm
	}
	body := b[1:]
	switch b[0] {
	case packPlain:
	case packZstd:
		var err error
		if body, err = p.dec.DecodeAll(body, nil); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrForm, err)
		}
	default:
		return nil, fmt.Errorf("%w: packing %d", ErrForm, b[0])
	}
	return decode[Message](body)
}
