package client

import (
	"context"
	"net/http"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Capacity asks what the members together lend, hold and can keep.
func (c *Client) Capacity(ctx context.Context) (pinset.Capacity, error) {
	var o dialect.Capacity
	if err := c.ask(ctx, request{method: http.MethodGet, path: "/capacity"}, &o); err != nil {
		return pinset.Capacity{}, err
	}
	return o.Value()
}
