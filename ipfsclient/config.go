package ipfsclient

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/pinset"
)

// DefaultAPI is where a Kubo listens that was told nothing else.
const DefaultAPI = "/ip4/127.0.0.1/tcp/5001"

// Config says how to reach a Kubo.
type Config struct {
	// API is the RPC's address: a multiaddress (/ip4/127.0.0.1/tcp/5001,
	// /dns4/host/tcp/443/https, /unix/run/ipfs.sock) or a URL (http or https).
	API string

	// Auth is the secret that Kubo's API.Authorizations asks for, spelled as there:
	// bearer:TOKEN, basic:USER:PASSWORD or basic:BASE64. "": none.
	Auth string

	// Dial bounds making a connection. 0: 10 s.
	Dial time.Duration

	// Silence is how long a Kubo may say nothing where it ought to answer at once or
	// reports progress twice a second. 0: 2 min.
	Silence time.Duration

	// Patience is how long it may say nothing where it has reason to: fetching
	// content, waiting for a garbage collection, sorting out garbage, reading a whole
	// DAG from disk. 0: 1 h.
	Patience time.Duration
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	or(&c.Dial, 10*time.Second)
	or(&c.Silence, 2*time.Minute)
	or(&c.Patience, time.Hour)
	return c
}

// endpoint is a parsed Config.API.
type endpoint struct {
	base string // URL up to and including /api/v0/
	unix string // path of the socket, or ""
}

func parseAPI(api string) (endpoint, error) {
	switch {
	case strings.HasPrefix(api, "/"):
		return parseMultiaddr(api)
	case strings.HasPrefix(api, "http://"), strings.HasPrefix(api, "https://"):
		u, err := url.Parse(api)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return endpoint{}, badAPI(api)
		}
		u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/api/v0")
		return endpoint{base: u.String() + "/api/v0/"}, nil
	}
	if host, port, err := net.SplitHostPort(api); err == nil && host != "" && port != "" && !strings.ContainsAny(api, "/?#@") {
		return endpoint{base: "http://" + api + "/api/v0/"}, nil
	}
	return endpoint{}, badAPI(api)
}

func parseMultiaddr(api string) (endpoint, error) {
	m, err := multiaddr.NewMultiaddr(api)
	if err != nil {
		return endpoint{}, badAPI(api)
	}
	network, address, err := manet.DialArgs(m)
	if err != nil {
		return endpoint{}, badAPI(api)
	}
	scheme := "http://"
	for _, p := range m {
		switch p.Code() {
		case multiaddr.P_HTTPS, multiaddr.P_TLS:
			scheme = "https://"
		}
	}
	switch network {
	case "unix":
		return endpoint{base: "http://unix/api/v0/", unix: address}, nil
	case "tcp", "tcp4", "tcp6":
		return endpoint{base: scheme + address + "/api/v0/"}, nil
	}
	return endpoint{}, badAPI(api)
}

func badAPI(api string) error {
	return pinset.Invalid("ipfs api %q: want a multiaddress as in %s or /unix/run/ipfs.sock, or a URL as in http://127.0.0.1:5001",
		api, DefaultAPI)
}

// parseAuth returns the Authorization header for a secret.
func parseAuth(auth string) (string, error) {
	kind, secret, ok := strings.Cut(auth, ":")
	switch {
	case auth == "":
		return "", nil
	case ok && secret != "" && strings.EqualFold(kind, "bearer"):
		return "Bearer " + secret, nil
	case ok && secret != "" && strings.EqualFold(kind, "basic"):
		if strings.Contains(secret, ":") {
			secret = base64.StdEncoding.EncodeToString([]byte(secret))
		}
		return "Basic " + secret, nil
	}
	return "", pinset.Invalid("ipfs auth: want bearer:TOKEN or basic:USER:PASSWORD") // never the secret itself
}

func transport(cfg Config, at endpoint) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.Dial, KeepAlive: 15 * time.Second}
	dial := dialer.DialContext
	if at.unix != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", at.unix)
		}
	}
	// No proxy from the environment: the node is ours. No compression: it is
	// mostly on this machine. No total time limits: streams are long.
	return &http.Transport{
		DialContext:         dial,
		TLSHandshakeTimeout: cfg.Dial,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
		WriteBufferSize:     64 << 10, // uploads are large
		IdleConnTimeout:     90 * time.Second,

		ExpectContinueTimeout: 10 * time.Minute, // a garbage collection may be under way
	}
}
