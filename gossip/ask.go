package gossip

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

const askProtocol protocol.ID = "/pinfold/ask/1"

const (
	maxQuestion  = 64 << 10
	maxReply     = 1 << 20          // one of the stream
	askTime      = 30 * time.Second // when the asker names no deadline
	answerTime   = 10 * time.Minute // that an answer may take in all
	askedAtOnce  = 32
	askedByOne   = 4
	flushReplies = 100 * time.Millisecond
)

// An answer is frames, ended by an empty frame and a frame with the error's text,
// empty if there was none.

// Ask sends a request to a connected member and streams its answers. Without a
// deadline in ctx there is one of 30 seconds. An error ends the stream.
func (n *Network) Ask(ctx context.Context, p peer.ID, req []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, askTime)
			defer cancel()
		}
		if err := n.askOne(ctx, p, req, yield); err != nil {
			yield(nil, fmt.Errorf("ask %s: %w", p, err))
		}
	}
}

// askOne returns an error only if yield has not ended the stream.
func (n *Network) askOne(ctx context.Context, p peer.ID, req []byte, yield func([]byte, error) bool) error {
	if len(req) > maxQuestion {
		return fmt.Errorf("%w: %d bytes, at most %d", wire.ErrTooLarge, len(req), maxQuestion)
	}
	s, err := n.open(ctx, p, askProtocol)
	if err != nil {
		return err
	}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	err = wire.WriteFrame(s, req)
	if err == nil {
		err = s.CloseWrite()
	}
	r := bufio.NewReaderSize(s, 32<<10)
	for err == nil {
		var b []byte
		if b, err = wire.ReadFrame(r, maxReply); err != nil {
			break
		}
		if len(b) == 0 {
			return replyError(r)
		}
		if !yield(b, nil) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n.misform(p, err)
	if errors.Is(err, io.EOF) {
		err = wire.ErrCutOff
	}
	return err
}

func replyError(r *bufio.Reader) error {
	text, err := wire.ReadFrame(r, 4<<10)
	switch {
	case err != nil:
		return err
	case len(text) > 0:
		return fmt.Errorf("%w: %s", errRefused, text)
	}
	return nil
}

// serveAsk answers /pinfold/ask/1.
func (n *Network) serveAsk(ctx context.Context, s wire.Timed) error {
	p := s.Conn().RemotePeer()
	if n.gater.standing(p) != member {
		return errNoStanding
	}
	req, err := wire.ReadFrame(bufio.NewReader(s), maxQuestion)
	if err != nil {
		n.misform(p, err)
		return fmt.Errorf("read question: %w", err)
	}
	w := bufio.NewWriterSize(s, 32<<10)
	if err = n.reply(ctx, p, req, w); err == nil {
		err = w.Flush()
	}
	if isTimeout(err) {
		n.faults.count(faultSlow, p.String())
	}
	return err
}

// reply writes the answers to one request and their end. The error is of the
// stream; the answerer's own goes to the asker.
func (n *Network) reply(ctx context.Context, p peer.ID, req []byte, w *bufio.Writer) error {
	if n.deps.Answerer == nil {
		return endReply(w, errors.New("nothing is answered here"))
	}
	if !n.answering.enter(p) {
		n.faults.count(faultRate, p.String())
		return endReply(w, errors.New("busy; ask again"))
	}
	defer n.answering.leave(p)
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var broken error
	flushed := time.Now()
	err := n.deps.Answerer.Answer(ctx, p, req, func(b []byte) error {
		if len(b) == 0 || len(b) > maxReply {
			return fmt.Errorf("reply of %d bytes: %w", len(b), wire.ErrTooLarge)
		}
		broken = writeReply(w, b)
		if broken == nil && time.Since(flushed) > flushReplies {
			broken, flushed = w.Flush(), time.Now()
		}
		return broken
	})
	if broken != nil {
		return broken
	}
	return endReply(w, err)
}

func writeReply(w *bufio.Writer, b []byte) error {
	var head [binary.MaxVarintLen64]byte
	if _, err := w.Write(head[:binary.PutUvarint(head[:], uint64(len(b)))]); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

func endReply(w *bufio.Writer, failed error) error {
	text := ""
	if failed != nil {
		text = failed.Error()
		text = text[:min(len(text), 1000)]
	}
	if err := w.WriteByte(0); err != nil {
		return err
	}
	return writeReply(w, []byte(text))
}
