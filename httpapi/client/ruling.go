package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Set changes settings of the running daemon, all or none; the warnings name what
// is done and may not be meant.
func (c *Client) Set(ctx context.Context, settings map[string]string) (warnings []string, err error) {
	var o dialect.Changed
	err = c.askJSON(ctx, "/config", settings, &o)
	return o.Warnings, err
}

// Drain has a member hand over what it holds and take nothing new.
func (c *Client) Drain(ctx context.Context, id peer.ID) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/peers/" + id.String() + "/drain"}, nil)
}

// Undrain makes a member take its share again.
func (c *Client) Undrain(ctx context.Context, id peer.ID) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/peers/" + id.String() + "/undrain"}, nil)
}

// SetRole rules what a member may do: admin, writer, keeper, observer, default.
func (c *Client) SetRole(ctx context.Context, id peer.ID, role string) error {
	q := request{method: http.MethodPost, path: "/peers/" + id.String() + "/role", query: url.Values{"role": {role}}}
	return c.ask(ctx, q, nil)
}

// Policy lists what the admins have ruled.
func (c *Client) Policy(ctx context.Context) (out []pinset.Rule, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/policy"}, &out)
	return out, err
}

// SetPolicy changes keys of the policy, all or none, and returns what holds then.
func (c *Client) SetPolicy(ctx context.Context, rules map[string]string) (out []pinset.Rule, err error) {
	err = c.askJSON(ctx, "/policy", rules, &out)
	return out, err
}

// Pause has the daemon begin no fetch for a time, 0: until Resume.
func (c *Client) Pause(ctx context.Context, d time.Duration) error {
	q := request{method: http.MethodPost, path: "/pause"}
	if d > 0 {
		q.query = url.Values{"for": {d.String()}}
	}
	return c.ask(ctx, q, nil)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/resume"}, nil)
}

// Replace puts a member in the place of another, which drains.
func (c *Client) Replace(ctx context.Context, old, by peer.ID) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/peers/" + old.String() + "/replace", query: url.Values{"by": {by.String()}}}, nil)
}
