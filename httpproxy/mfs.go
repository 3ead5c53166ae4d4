package httpproxy

import (
	"context"
	"net/http"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// mfs keeps the root of Kubo's mutable file system pinned in the cluster: one pin
// for each peer, which moves with every change.
type mfs struct {
	mu    sync.Mutex
	known bool
	root  cid.Cid // of the pin that is there, Undef: none
}

// filesKey marks that pin; its value is the member whose files they are.
const filesKey = "pinfold-files"

// changeFiles sends a change on, and pins what it leads to before the answer.
func (c *call) changeFiles() error {
	r, err := c.send(c.outbound(c.query()))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode == http.StatusOK {
		if err := c.keepFiles(); err != nil {
			return pinset.Wrap(pinset.KindOf(err), err, "the files changed, and their root could not be pinned")
		}
	}
	c.copyHead(r)
	return c.copyBody(r)
}

// keepFiles pins the present root and lets the one before go.
func (c *call) keepFiles() error {
	m := &c.s.mfs
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known {
		found, err := c.findFiles(c.ctx)
		if err != nil {
			return err
		}
		m.root, m.known = found, true
	}
	var at struct{ Hash string }
	if err := c.askOne(Forward{Name: "files/stat", Query: "arg=/"}, &at); err != nil {
		return err
	}
	k, err := cid.Decode(at.Hash)
	if err != nil || m.root.Defined() && k.Equals(m.root) {
		return err
	}
	self := c.s.cfg.Self.String()
	p := pinset.Pin{CID: k, Name: "files of " + self, Metadata: map[string]string{filesKey: self}}
	if _, _, err := c.s.deps.Pinset.Pin(c.ctx, p); err != nil {
		return err
	}
	old := m.root
	m.root = k
	if !old.Defined() {
		return nil
	}
	if _, _, err := c.s.deps.Pinset.Unpin(c.ctx, pinset.Removal{CID: old, Force: true}); pinset.KindOf(err) != pinset.KindNotFound {
		return err
	}
	return nil
}

// findFiles returns the root that was pinned before this process.
func (c *call) findFiles(ctx context.Context) (cid.Cid, error) {
	for s, err := range c.s.deps.Statuses.StatusAll(ctx, true) {
		if err != nil {
			return cid.Undef, err
		}
		for _, p := range s.Pins {
			if p.Owner == "" && p.Metadata[filesKey] == c.s.cfg.Self.String() {
				return p.CID, nil
			}
		}
	}
	return cid.Undef, ctx.Err()
}
