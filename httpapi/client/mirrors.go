package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pinfold/pinfold/pinset"
)

// Mirrors lists the members' wishes to mirror, the daemon's own first.
func (c *Client) Mirrors(ctx context.Context) (out []pinset.Mirror, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/mirrors"}, &out)
	return out, err
}

// AddMirror makes the daemon's peer hold what a member (by name or id) holds, or
// with pinset.MirrorAll everything.
func (c *Client) AddMirror(ctx context.Context, of string) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/mirrors/" + url.PathEscape(of)}, nil)
}

// RemoveMirror takes the wish back.
func (c *Client) RemoveMirror(ctx context.Context, of string) error {
	return c.ask(ctx, request{method: http.MethodDelete, path: "/mirrors/" + url.PathEscape(of)}, nil)
}
