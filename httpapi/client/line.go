package client

import (
	"context"
	"io"
	"net/http"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Line opens a line to a member's IPFS-shaped door: HTTP/1.1 as it would be spoken
// there. It lives until it is closed, or ctx ends. KindUnavailable: the member is
// away, or offers none.
func (c *Client) Line(ctx context.Context, id peer.ID) (io.ReadWriteCloser, error) {
	resp, err := c.send(ctx, request{method: http.MethodPost, path: "/peers/" + id.String() + "/line", upgrade: dialect.LineUpgrade})
	if err != nil {
		return nil, err
	}
	line, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, pinset.Errorf(pinset.KindUnavailable, "the daemon at %s gave no line: %s", c.where, resp.Status)
	}
	return line, nil
}
