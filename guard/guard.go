package guard

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// Rules are those of one listener. Origins and hosts are in lower case; an origin
// has no slash at its end.
type Rules struct {
	Socket  bool     // a unix socket
	Peers   bool     // lines of peers that have proved their keys: RemoteAddr is the peer's id
	Remote  bool     // listens beyond loopback
	Port    string   // of the listener
	Hosts   []string // further names of it
	Origins []string // further pages that may call it
}

// Check returns an error of KindForbidden, or nil.
func (g Rules) Check(r *http.Request) error {
	if !g.Socket && !g.knowsHost(r.Host) {
		return forbidden("host %q is not this API's", r.Host).
			WithHint("use its address or localhost")
	}
	own := false
	for _, origin := range r.Header["Origin"] {
		if !g.knowsOrigin(r, origin) {
			return forbidden("pages of %q may not call this API", origin)
		}
		own = true
	}
	for _, referer := range r.Header["Referer"] {
		if !g.knowsOrigin(r, originOf(referer)) {
			return forbidden("pages of %q may not call this API", originOf(referer))
		}
		own = true
	}
	if own {
		return nil
	}
	site := strings.ToLower(r.Header.Get("Sec-Fetch-Site"))
	switch {
	case g.Socket && (site != "" || isBrowser(r.UserAgent())):
		return forbidden("browsers may not call this API's socket")
	case site == "same-origin", site == "none" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return nil
	case site != "", isBrowser(r.UserAgent()):
		return forbidden("a browser called without saying from which page")
	}
	return nil
}

func forbidden(format string, args ...any) *pinset.Error {
	return pinset.Errorf(pinset.KindForbidden, format, args...)
}

func isBrowser(agent string) bool { return strings.Contains(strings.ToLower(agent), "mozilla") }

func (g Rules) knowsHost(host string) bool {
	name, _ := splitHost(host)
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().IsLoopback() || g.Remote
	}
	return name == "localhost" || slices.Contains(g.Hosts, name)
}

// splitHost takes a Host apart, in lower case, an address without its brackets.
func splitHost(host string) (name, port string) {
	host = strings.ToLower(host)
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ""
}

// originOf is the origin of a page's address; "" of one that has none.
func originOf(referer string) string {
	u, err := url.Parse(referer)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (g Rules) knowsOrigin(r *http.Request, origin string) bool {
	origin = strings.ToLower(origin)
	if g.Configured(origin) {
		return true
	}
	if g.Socket {
		return false
	}
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return false
	}
	if host == strings.ToLower(r.Host) {
		return true // Host itself was checked
	}
	name, port := splitHost(host)
	ip, err := netip.ParseAddr(name)
	return port == g.Port && (name == "localhost" || err == nil && ip.Unmap().IsLoopback())
}

// Configured says whether an origin was allowed by the configuration.
func (g Rules) Configured(origin string) bool {
	return slices.Contains(g.Origins, strings.ToLower(origin))
}

// Share lets a page of a configured origin read the answer. There is never
// a wildcard.
func (g Rules) Share(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	if g.Configured(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
}

// Token takes the token out of a request: the Bearer token, or Basic's password.
// ok is false where there is no Authorization at all.
func Token(r *http.Request) (token string, ok bool, err error) {
	headers := r.Header["Authorization"]
	if len(headers) == 0 {
		return "", false, nil
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	value = strings.TrimSpace(value)
	if len(headers) == 1 && strings.EqualFold(scheme, "Bearer") && value != "" {
		return value, true, nil
	}
	if len(headers) == 1 && strings.EqualFold(scheme, "Basic") {
		raw, err := base64.StdEncoding.DecodeString(value)
		if _, password, ok := strings.Cut(string(raw), ":"); err == nil && ok {
			return password, true, nil
		}
	}
	return "", true, pinset.Errorf(pinset.KindUnauthorised, "Authorization is not readable: want Bearer TOKEN, or Basic with the token as password")
}
