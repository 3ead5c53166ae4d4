package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Explain tells why the pins of a CID are where they are.
func (c *Client) Explain(ctx context.Context, id cid.Cid) (out pinset.Explanation, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/allocations/" + id.String() + "/explain"}, &out)
	return out, err
}

// Outlook tells what changes would do, each as in "join:2TB@home3", "leave:alice",
// "give:bob=1TB", "replication=3". None may contain a comma.
func (c *Client) Outlook(ctx context.Context, changes ...string) (out pinset.Outlook, err error) {
	for _, text := range changes {
		if strings.Contains(text, ",") {
			return out, pinset.Invalid("--if %q: a comma is not possible in it", text).WithHint("name a member by its id (pinfold peers)")
		}
	}
	q := request{method: http.MethodGet, path: "/plan"}
	if len(changes) > 0 {
		q.query = url.Values{"if": {strings.Join(changes, ",")}}
	}
	err = c.ask(ctx, q, &out)
	return out, err
}

// Balance tells how evenly the members are filled, and what limits it.
func (c *Client) Balance(ctx context.Context) (out pinset.Balance, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/balance"}, &out)
	return out, err
}
