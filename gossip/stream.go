package gossip

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/libp2p/go-libp2p/core/network"
)

// A stream of deltas is zstd over frames, oldest first, ended by an empty frame
// and the sender's verdict. Compression shares one window over the whole stream:
// CIDs in base32 shrink to their entropy, repeated owners and policies to nothing.

const (
	verdictDone    = 0 // all that was wanted and had by the sender
	verdictPartial = 1 // something wanted is unknown to the sender
	verdictFailed  = 2 // the sender gave up
)

// window of the compressor, and with it the decoder's memory per stream.
const window = 512 << 10

// patience is how long one read or write may stand still.
const patience = 30 * time.Second

// timed is a stream whose every read and write has a deadline of its own, so
// that a slow peer is let go and a long transfer is not.
type timed struct {
	network.Stream
	limit time.Duration
}

func (t timed) Read(b []byte) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(t.limit)); err != nil {
		return 0, err
	}
	return t.Stream.Read(b)
}

func (t timed) Write(b []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(t.limit)); err != nil {
		return 0, err
	}
	return t.Stream.Write(b)
}

// codecs lends compressors, which are costly to make, to streams.
type codecs struct {
	enc, dec sync.Pool
}

func (c *codecs) encoder(w io.Writer) (*zstd.Encoder, error) {
	if e, ok := c.enc.Get().(*zstd.Encoder); ok {
		e.Reset(w)
		return e, nil
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
}

func (c *codecs) decoder(r io.Reader) (*zstd.Decoder, error) {
	if d, ok := c.dec.Get().(*zstd.Decoder); ok {
		return d, d.Reset(r)
	}
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
}

// blockWriter writes a stream of deltas.
type blockWriter struct {
	enc   *zstd.Encoder
	since int // bytes since the last flush
}

// flushEvery bounds what a cut connection loses.
const flushEvery = 256 << 10

func (w *blockWriter) write(raw []byte) error {
	if len(raw) == 0 || len(raw) > maxBlock {
		return fmt.Errorf("send delta: %w: %d bytes", errTooLarge, len(raw))
	}
	var head [binary.MaxVarintLen64]byte
	if _, err := w.enc.Write(head[:binary.PutUvarint(head[:], uint64(len(raw)))]); err != nil {
		return err
	}
	if _, err := w.enc.Write(raw); err != nil {
		return err
	}
	if w.since += len(raw); w.since < flushEvery {
		return nil
	}
	w.since = 0
	return w.enc.Flush()
}

func (w *blockWriter) end(verdict byte) error {
	if _, err := w.enc.Write([]byte{0, verdict}); err != nil {
		return err
	}
	return w.enc.Close()
}

// blockReader reads a stream of deltas.
type blockReader struct {
	r       *bufio.Reader
	err     error // of the transport or the form; nil while all is well
	ended   bool
	verdict byte
}

// next returns the next delta, io.EOF after the last one.
func (r *blockReader) next() ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	if r.err != nil {
		return nil, r.err
	}
	raw, err := readFrame(r.r, maxBlock)
	if err == nil && len(raw) > 0 {
		return raw, nil
	}
	if err == nil {
		r.verdict, err = r.r.ReadByte()
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errCutOff // the end is said, not implied
		}
		r.err = err
		return nil, err
	}
	r.ended = true
	return nil, io.EOF
}
