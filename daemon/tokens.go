package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/httpapi"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// authorise looks a token up in the file of tokens.
func (d *Daemon) authorise(_ context.Context, text string) (guard.Grant, error) {
	t, err := d.tokens.Authorise(text, time.Now())
	return grant(t, err)
}

// authorisePeer looks up what a peer may do by its key.
func (d *Daemon) authorisePeer(_ context.Context, id peer.ID) (guard.Grant, error) {
	t, err := d.tokens.AuthorisePeer(id.String(), time.Now())
	return grant(t, err)
}

func grant(t identity.Token, err error) (guard.Grant, error) {
	if err != nil {
		return guard.Grant{}, pinset.Wrap(pinset.KindUnauthorised, err, "check token")
	}
	g := guard.Grant{User: t.Note, Owner: t.Owner, NamePrefix: t.NamePrefix}
	for _, s := range t.Scopes {
		g.Scopes = append(g.Scopes, pinset.Scope(s))
	}
	return g, nil
}

func (a apiDaemon) Tokens(context.Context) ([]httpapi.Token, error) {
	var out []httpapi.Token
	for _, t := range a.d.tokens.Tokens() {
		out = append(out, tokenForAPI(t))
	}
	return out, nil
}

func (a apiDaemon) AddToken(_ context.Context, ask httpapi.Token, secret string) (text string, _ httpapi.Token, err error) {
	t := identity.Token{Note: ask.Note, Scopes: ask.Scopes, Owner: ask.Owner, NamePrefix: ask.NamePrefix, Peer: ask.Peer, Expires: ask.Expires}
	if secret != "" {
		t, err = a.d.tokens.Take(t, secret, time.Now())
	} else {
		text, t, err = a.d.tokens.Create(t, time.Now())
	}
	switch {
	case errors.Is(err, identity.ErrTokenTaken):
		return "", httpapi.Token{}, &pinset.Error{
			Kind: pinset.KindConflict, Msg: "make token", Err: err, Hint: "pinfold token ls shows it; pinfold token rm ID ends it"}
	case errors.Is(err, identity.ErrTokenSecret):
		return "", httpapi.Token{}, pinset.Wrap(pinset.KindInvalid, err, "make token")
	}
	return text, tokenForAPI(t), err
}

func (a apiDaemon) RevokeToken(_ context.Context, id string) error {
	err := a.d.tokens.Revoke(id)
	if errors.Is(err, identity.ErrTokenUnknown) {
		return pinset.NotFound("token %q: there is none", id).WithHint("pinfold token ls")
	}
	return err
}

func tokenForAPI(t identity.Token) httpapi.Token {
	return httpapi.Token{ID: t.ID, Note: t.Note, Scopes: t.Scopes, Owner: t.Owner, NamePrefix: t.NamePrefix, Peer: t.Peer, Created: t.Created, Expires: t.Expires}
}
