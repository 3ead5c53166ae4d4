package client

import (
	"context"
	"net/http"

	"github.com/pinfold/pinfold/pinset"
)

// StateInfo tells what the peer's replicated state is made of, and how far the next
// epoch is.
func (c *Client) StateInfo(ctx context.Context) (out pinset.StateInfo, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/state"}, &out)
	return out, err
}

// Compact asks all members for a new epoch. It does not wait for it.
func (c *Client) Compact(ctx context.Context) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/state/compact"}, nil)
}
