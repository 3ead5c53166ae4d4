package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pinfold/pinfold/httpapi/dialect"
)

// Tokens lists what each token allows, the oldest first.
func (c *Client) Tokens(ctx context.Context) (out []dialect.Token, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/tokens"}, &out)
	return out, err
}

// AddToken makes a token. Its text comes back, and cannot be had again; "" where
// secret (bearer:TEXT, basic:USER:TEXT) is that, or where the token is a peer's.
func (c *Client) AddToken(ctx context.Context, t dialect.Token, secret string) (out dialect.MadeToken, err error) {
	err = c.askJSON(ctx, "/tokens", dialect.NewToken{Token: t, Secret: secret}, &out)
	return out, err
}

// RevokeToken ends a token by its id.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.ask(ctx, request{method: http.MethodDelete, path: "/tokens/" + url.PathEscape(id)}, nil)
}
