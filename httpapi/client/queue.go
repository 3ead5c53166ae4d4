package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Queue tells what runs and waits at the daemon's peer, at most so many of what
// waits for its turn, and of what waits for its time.
func (c *Client) Queue(ctx context.Context, most int) (out pinset.Queue, err error) {
	q := request{method: http.MethodGet, path: "/queue", query: url.Values{"limit": {strconv.Itoa(most)}}}
	err = c.ask(ctx, q, &out)
	return out, err
}

// Update says which pin another one follows.
type Update struct {
	From cid.Cid
	Keep bool // both stay
}

// Update pins p.CID with the options that the pin of u.From has, but for those that p
// names. Unless that one is to be kept it returns when enough members hold the new
// one, and the old one is gone; after an error that one may still be there.
func (c *Client) Update(ctx context.Context, u Update, p pinset.Pin, w Wait) (pinset.Pin, pinset.Receipt, error) {
	q := pinQueryOf(p)
	q.Set("pin-update", u.From.String())
	if !u.Keep {
		q.Set("unpin", "true")
	}
	w.query(q)
	return c.change(ctx, request{method: http.MethodPost, path: "/pins/" + p.CID.String(), query: q})
}

// Adopt pins p, and hands the pin that the owner of the daemon's IPFS node has of
// its CID over to the cluster.
func (c *Client) Adopt(ctx context.Context, p pinset.Pin, w Wait) (pinset.Pin, pinset.Receipt, error) {
	q := pinQueryOf(p)
	q.Set("adopt", "true")
	w.query(q)
	return c.change(ctx, request{method: http.MethodPost, path: "/pins/" + p.CID.String(), query: q})
}
