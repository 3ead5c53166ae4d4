package client

import (
	"context"

	"github.com/pinfold/pinfold/httpapi/dialect"
)

// Set changes settings of the running daemon, all or none; the warnings name what
// is done and may not be meant.
func (c *Client) Set(ctx context.Context, settings map[string]string) (warnings []string, err error) {
	var o dialect.Changed
	err = c.askJSON(ctx, "/config", settings, &o)
	return o.Warnings, err
}
