package ipfsclient

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"sync"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/pinfold/pinfold/pinset"
)

// shelter keeps a Kubo from collecting garbage while blocks come in that no pin
// holds yet. Kubo's own add shelters what it pins itself, which would rename the
// owner's pins; its dag/import holds the same lock from before it reads its upload
// until it has pinned the roots that it read. So an import is begun first, and
// tells its root last: a node of ours that links to all that came in.
//
// A Kubo that refuses to import gives no shelter. Then nothing is lost either: who
// pins afterwards is told that blocks are missing.
type shelter struct {
	client *Client
	body   *io.PipeWriter
	form   *multipart.Writer
	cancel context.CancelFunc
	ended  chan struct{}
	said   importMessage // read after ended
	err    error
}

// importMessage is the answer of dag/import for one root.
type importMessage struct {
	Root struct {
		Cid         map[string]string
		PinErrorMsg string
	}
}

// shelter returns when the node holds its garbage back, nil if it does not do that.
func (c *Client) shelter(ctx context.Context) *shelter {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	s := &shelter{client: c, body: w, form: multipart.NewWriter(w), cancel: cancel, ended: make(chan struct{})}
	up := &beginning{PipeReader: r, begun: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = c.one(ctx, call{name: "dag/import", wait: c.cfg.Patience, body: up, kind: s.form.FormDataContentType(), late: true,
			args: args("pin-roots", "true", "fast-provide-root", "false")}, &s.said)
		_ = r.CloseWithError(errors.Join(io.ErrClosedPipe, s.err)) // who tells a root does not wait for ever
	}()
	select {
	case <-up.begun:
		return s
	case <-s.ended:
		cancel()
		return nil
	}
}

// keep has the node pin, without a name, one that links to the roots, and lets the
// garbage go. What it returns is unpinned when the roots have pins of their own.
func (s *shelter) keep(roots []cid.Cid) (cid.Cid, error) {
	defer s.cancel()
	nd, err := bundle(roots)
	if err != nil {
		return cid.Undef, err
	}
	part, err := s.form.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="roots.car"`}, "Content-Type": {"application/octet-stream"}})
	if err == nil {
		_, err = part.Write(car(nd))
	}
	err = errors.Join(err, s.form.Close(), s.body.Close())
	<-s.ended
	if err := errors.Join(s.err, err); err != nil {
		return cid.Undef, fmt.Errorf("hold on to what came in: %w", err)
	}
	if why := s.said.Root.PinErrorMsg; why != "" {
		return cid.Undef, fmt.Errorf("hold on to what came in: %w", rpcFailure(&RPCError{"dag/import", 200, why}))
	}
	if got := s.said.Root.Cid["/"]; got != nd.Cid().String() {
		return cid.Undef, unusable(ErrNotIPFS, s.client.cfg.API, fmt.Sprintf("dag/import of %s, it answered for %q", nd.Cid(), got))
	}
	return nd.Cid(), nil
}

// leave lets the garbage go. It may follow keep.
func (s *shelter) leave() {
	s.cancel()
	_ = s.body.CloseWithError(context.Canceled) // reading it is over
	<-s.ended
}

// forget takes off the pin that keep made.
func (c *Client) forget(ctx context.Context, bundle cid.Cid) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Silence)
	defer cancel()
	return c.Unpin(ctx, bundle, pinset.Recursive)
}

// bundle returns a node that nobody else has and that links to the roots.
func bundle(roots []cid.Cid) (*merkledag.ProtoNode, error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	nd := merkledag.NodeWithData(append([]byte("pinfold: being added "), nonce...))
	if err := nd.SetCidBuilder(merkledag.V1CidPrefix()); err != nil {
		return nil, err
	}
	for _, c := range roots {
		if err := nd.AddRawLink("", &ipld.Link{Cid: c}); err != nil {
			return nil, fmt.Errorf("link to %s: %w", c, err)
		}
	}
	return nd, nil
}

// car returns a CAR of version 1 with one node, its root.
func car(nd ipld.Node) []byte {
	id := nd.Cid().Bytes()
	// dag-cbor of {"roots": [nd], "version": 1}
	head := append([]byte{0xa2, 0x65}, "roots"...)
	head = append(head, 0x81, 0xd8, 0x2a, 0x58, byte(len(id)+1), 0)
	head = append(append(head, id...), 0x67)
	head = append(append(head, "version"...), 1)
	out := append(binary.AppendUvarint(nil, uint64(len(head))), head...)
	out = binary.AppendUvarint(out, uint64(len(id)+len(nd.RawData())))
	return append(append(out, id...), nd.RawData()...)
}

// beginning says when its first byte is asked for.
type beginning struct {
	*io.PipeReader
	once  sync.Once
	begun chan struct{}
}

func (b *beginning) Read(p []byte) (int, error) {
	b.once.Do(func() { close(b.begun) })
	return b.PipeReader.Read(p)
}
