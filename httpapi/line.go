package httpapi

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// line makes the connection of a request a line to a member's IPFS-shaped door:
// from the answer 101 on the bytes go both ways as they are.
func (s *Server) line(c *call) error {
	id, err := c.peerID()
	if err != nil {
		return err
	}
	if !strings.EqualFold(c.r.Header.Get("Upgrade"), dialect.LineUpgrade) || c.r.ProtoMajor != 1 {
		c.w.Header().Set("Upgrade", dialect.LineUpgrade)
		return &statusError{http.StatusUpgradeRequired, pinset.Invalid("this is for a connection that becomes a line: Upgrade: %s", dialect.LineUpgrade).
			WithHint("pinfold bridge does it")}
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if cl.Dial == nil {
		return notOffered("lines to members")
	}
	far, err := cl.Dial(c.ctx(), id)
	if err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "reach member %s", id)
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return pinset.Wrap(pinset.KindInternal, err, "take the connection over")
	}
	defer near.Close()
	_ = near.SetDeadline(time.Time{}) // the line lasts; one that is gone tells itself
	c.code = http.StatusSwitchingProtocols
	if _, err := io.WriteString(near, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+dialect.LineUpgrade+"\r\n\r\n"); err != nil {
		return nil // the client has gone
	}
	splice(c.ctx(), pair{buffered, near, near}, far)
	return nil
}

// pair is a connection of which some was read already.
type pair struct {
	io.Reader
	io.Writer
	io.Closer
}

// splice copies both ways until one side ends, or ctx does, and closes both.
func splice(ctx context.Context, near, far io.ReadWriteCloser) {
	shut := sync.OnceFunc(func() { _, _ = near.Close(), far.Close() })
	defer context.AfterFunc(ctx, shut)()
	var back sync.WaitGroup
	back.Go(func() {
		defer shut()
		_, _ = io.Copy(near, far) // one that breaks ends the line
	})
	_, _ = io.Copy(far, near)
	shut()
	back.Wait()
}
