package daemon

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/pinfold/pinfold/httpapi"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// openAPI binds the REST API: the unix socket for this machine's user, and TCP for
// whoever has a token.
func (d *Daemon) openAPI(context.Context) (err error) {
	if d.tokens, err = identity.OpenTokens(d.opts.Dir.tokens()); err != nil {
		return err
	}
	admin := identity.Token{Note: "administrator", Scopes: []string{string(pinset.ScopeAdmin)}}
	if _, err := d.tokens.AdminToken(d.opts.Dir.Token(), admin, time.Now()); err != nil {
		return err
	}
	cfg := httpapi.Config{Socket: d.opts.Dir.Socket(), AllowRemote: d.cfg.API.AllowRemote, Version: d.opts.Version, Log: d.log}
	if d.cfg.API.Listen != "" {
		cfg.Listen = []string{d.cfg.API.Listen}
	}
	d.api, err = httpapi.New(cfg, httpapi.Deps{
		Daemon: apiDaemon{d}, Authorise: d.authorise, Metrics: d.metrics.Handler(), Requests: d.metrics.Request,
	})
	if err != nil {
		return portTaken("api.listen", err)
	}
	d.closers.push("API", d.api.Close)
	return nil
}

// apiDaemon is the daemon as the API sees it.
type apiDaemon struct{ d *Daemon }

func (a apiDaemon) Cluster(context.Context) (*httpapi.Cluster, error) { return a.d.peer.door(), nil }

// Join writes the new cluster's directory while this one still runs, and then
// asks for the daemon to be made anew: a joined cluster takes the same way as one
// that is opened at any other start.
func (a apiDaemon) Join(ctx context.Context, text, name string, give uint64) error {
	d := a.d
	invite, err := parseInvite(text)
	if err != nil {
		return err
	}
	if d.peer.dir.id == invite.Cluster {
		if err := d.peer.dir.learn(invite); err != nil {
			return err
		}
		d.stopWith(ErrRestart) // the network takes what it is given at its start
		return nil
	}
	free := func() error {
		return empty(d.peer.founding.Name(), d.peer.state.Summary().Count, len(d.peer.state.Authority().Members()))
	}
	if err := free(); err != nil {
		return err
	}
	o := d.opts
	o.Flags = map[string]string{}
	if name != "" {
		o.Flags["name"] = name
	}
	if give > 0 {
		o.Flags["give"] = strconv.FormatUint(give, 10)
	}
	if _, err := o.join(ctx, invite, replacing{[]clusterDir{d.peer.dir}, free}); err != nil {
		return err
	}
	d.stopWith(ErrRestart)
	return nil
}

func (a apiDaemon) Config(context.Context) ([]httpapi.Setting, error) {
	var out []httpapi.Setting
	for _, s := range a.d.own.all() {
		out = append(out, httpapi.Setting{Key: s.Key, Value: s.Value, Source: string(s.Source), Doc: s.Doc})
	}
	return out, nil
}

// stopWith ends Run with a cause, once the answer under way had time to leave.
func (d *Daemon) stopWith(cause error) {
	time.AfterFunc(answerTime, func() { d.stop(cause) })
}

// answerTime is how long an answer that announces the end has to reach the client.
const answerTime = 200 * time.Millisecond

// errLeft ends a daemon whose peer has left its cluster.
var errLeft = errors.New("left the cluster")
