package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Deficit lists what has too few copies at members that are heard.
func (c *Client) Deficit(ctx context.Context) iter.Seq2[pinset.Summary, error] {
	return eachLine(ctx, c, request{method: http.MethodGet, path: "/deficit"}, dialect.DecodeStatus)
}

// Audit holds what the members signed against the allocation, and challenges them
// so many times.
func (c *Client) Audit(ctx context.Context, since time.Duration, challenges int) (out pinset.Audit, err error) {
	q := url.Values{"since": {since.String()}, "challenge": {strconv.Itoa(challenges)}}
	err = c.ask(ctx, request{method: http.MethodGet, path: "/audit", query: q}, &out)
	return out, err
}

// Receipt returns a signed document on who holds a CID.
func (c *Client) Receipt(ctx context.Context, id cid.Cid) (out pinset.SignedReceipt, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/allocations/" + id.String() + "/receipt"}, &out)
	return out, err
}
