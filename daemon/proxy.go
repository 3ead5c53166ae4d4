package daemon

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"

	"github.com/pinfold/pinfold/httpproxy"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// openProxy binds the IPFS-shaped door, unless nothing is to listen there.
func (d *Daemon) openProxy(context.Context) (err error) {
	at := d.cfg.Proxy
	if at.Listen == "" && at.Socket == "" && !at.Members {
		return nil
	}
	p := d.peer
	secure, fingerprint, err := d.proxyTLS()
	if err != nil {
		return err
	}
	cfg := httpproxy.Config{
		Socket: at.Socket, AllowRemote: at.AllowRemote, Origins: at.Origins, Hosts: at.Hosts, TLS: secure, KeepFiles: at.KeepFiles, Version: d.opts.Version,
		Self: d.key.ID(), Cluster: string(p.founding.ID()), Name: p.founding.Name(), Log: d.log,
	}
	if at.Listen != "" {
		cfg.Listen = []string{at.Listen}
	}
	for _, s := range at.Anonymous {
		cfg.Anonymous = append(cfg.Anonymous, pinset.Scope(s))
	}
	deps := httpproxy.Deps{
		Pinset: p.cluster, Statuses: p.cluster, Members: p.cluster, Data: p.cluster, Node: d.node, Authorise: d.authorise,
		Copies: func() int { return p.state.Authority().Policy().Max },
	}
	switch n := d.node.Node.(type) {
	case *ipfsclient.Client:
		deps.Kubo = kuboForProxy{n}
	case httpproxy.Blocks:
		deps.Blocks = n
	default:
		d.log.Warn("the IPFS node's RPC is not offered: the node has no blocks to show")
		return nil
	}
	if at.Members {
		deps.Lines, deps.AuthorisePeer = p.network.Lines(), d.authorisePeer
	}
	d.proxy, err = httpproxy.New(cfg, deps)
	if err != nil {
		return portTaken("proxy.listen", err)
	}
	d.closers.push("proxy", d.proxy.Close)
	if fingerprint != "" {
		d.node.notes = append(d.node.notes, "the IPFS RPC speaks TLS; its certificate's SHA-256 is "+fingerprint)
	}
	return nil
}

// proxyTLS is nil where plain TCP is spoken.
func (d *Daemon) proxyTLS() (*tls.Config, string, error) {
	at := d.cfg.Proxy
	if !at.TLS {
		return nil, "", nil
	}
	return d.opts.Dir.certificate(at.Certificate, at.Key, at.Hosts)
}

type kuboForProxy struct{ *ipfsclient.Client }

func (k kuboForProxy) Forward(ctx context.Context, f httpproxy.Forward) (*http.Response, error) {
	var body io.Reader
	if f.Body != nil {
		body = f.Body
	}
	return k.Client.Forward(ctx, f.Name, f.Query, f.Header, body)
}
