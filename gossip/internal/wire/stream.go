package wire

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
	VerdictDone    = 0 // all that was wanted and had by the sender
	VerdictPartial = 1 // something wanted is unknown to the sender
	VerdictFailed  = 2 // the sender gave up
)

// window of the compressor, and with it the decoder's memory per stream.
const window = 512 << 10

// Patience is how long one read or write may stand still.
const Patience = 30 * time.Second

// Timed is a stream whose every read and write has a deadline of its own, so
// that a slow peer is let go and a long transfer is not.
type Timed struct {
	network.Stream
	Limit time.Duration
}

func (t Timed) Read(b []byte) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(t.Limit)); err != nil {
		return 0, err
	}
	return t.Stream.Read(b)
}

func (t Timed) Write(b []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(t.Limit)); err != nil {
		return 0, err
	}
	return t.Stream.Write(b)
}

// Codecs lends compressors, which are costly to make, to streams.
type Codecs struct {
	enc, dec sync.Pool
}

// Writer starts a stream of deltas into w. release gives its memory back.
func (c *Codecs) Writer(w io.Writer) (b *BlockWriter, release func(), err error) {
	e, ok := c.enc.Get().(*zstd.Encoder)
	if ok {
		e.Reset(w)
	} else if e, err = zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true)); err != nil {
		return nil, nil, fmt.Errorf("make encoder: %w", err)
	}
	return &BlockWriter{enc: e}, func() {
		e.Reset(io.Discard)
		c.enc.Put(e)
	}, nil
}

// Reader reads a stream of deltas from r.
func (c *Codecs) Reader(r io.Reader) (b *BlockReader, release func(), err error) {
	d, ok := c.dec.Get().(*zstd.Decoder)
	if ok {
		err = d.Reset(r)
	} else {
		d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make decoder: %w", err)
	}
	return &BlockReader{r: bufio.NewReaderSize(d, 64<<10)}, func() {
		_ = d.Reset(nil)
		c.dec.Put(d)
	}, nil
}

// BlockWriter writes a stream of deltas.
type BlockWriter struct {
	enc   *zstd.Encoder
	since int // bytes since the last flush
}

// flushEvery bounds what a cut connection loses.
const flushEvery = 256 << 10

// Write sends one delta.
func (w *BlockWriter) Write(raw []byte) error {
	if len(raw) == 0 || len(raw) > MaxBlock {
		return fmt.Errorf("send delta: %w: %d bytes", ErrTooLarge, len(raw))
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

// End says that the stream is over, and how it went.
func (w *BlockWriter) End(verdict byte) error {
	if _, err := w.enc.Write([]byte{0, verdict}); err != nil {
		return err
	}
	return w.enc.Close()
}

// BlockReader reads a stream of deltas.
type BlockReader struct {
	r       *bufio.Reader
	err     error
	ended   bool
	verdict byte
}

// Next returns the next delta, io.EOF after the last one.
func (r *BlockReader) Next() ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	if r.err != nil {
		return nil, r.err
	}
	raw, err := ReadFrame(r.r, MaxBlock)
	if err == nil && len(raw) > 0 {
		return raw, nil
	}
	if err == nil {
		r.verdict, err = r.r.ReadByte()
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = ErrCutOff // the end is said, not implied
		}
		if broken(err) {
			err = fmt.Errorf("%w: %v", ErrForm, err)
		}
		r.err = err
		return nil, err
	}
	r.ended = true
	return nil, io.EOF
}

// Err returns what went wrong with the stream itself: with the connection, or
// with the form of what came. It is nil while all is well.
func (r *BlockReader) Err() error { return r.err }

// Verdict returns how the sender says it went, once Next returned io.EOF.
func (r *BlockReader) Verdict() byte { return r.verdict }

// broken says whether err is the decompressor's: the bytes came, but are none of
// its.
func broken(err error) bool {
	for _, e := range []error{
		zstd.ErrMagicMismatch, zstd.ErrCRCMismatch, zstd.ErrWindowSizeExceeded, zstd.ErrWindowSizeTooSmall,
		zstd.ErrReservedBlockType, zstd.ErrCompressedSizeTooBig, zstd.ErrBlockTooSmall, zstd.ErrUnexpectedBlockSize,
		zstd.ErrDecoderSizeExceeded, zstd.ErrFrameSizeExceeded, zstd.ErrFrameSizeMismatch, zstd.ErrUnknownDictionary,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
