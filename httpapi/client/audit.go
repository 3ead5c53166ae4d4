package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Deficit lists what has too few copies at members that are heard.
func (c *Client) Deficit(ctx context.Context) iter.Seq2[pinset.Summary, error] {
	return eachLine(ctx, c, request{method: http.MethodGet, path: "/deficit"}, dialect.DecodeStatus)
}
