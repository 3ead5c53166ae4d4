package ipfsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// Why a Kubo cannot be used. Errors that wrap these are of kind
// pinset.KindUnavailable, but for ErrSilent, which is KindTimeout.
var (
	ErrNobody  = errors.New("nobody listens there")
	ErrNotIPFS = errors.New("what answers there is not an IPFS node's RPC")
	ErrAuth    = errors.New("it refuses us")
	ErrTooOld  = errors.New("it is too old")
	ErrSilent  = errors.New("it fell silent")
	ErrTorn    = errors.New("the answer broke off")
	ErrTrust   = errors.New("its certificate is not trusted")
)

// RPCError is what a Kubo said when it could not do what it was asked.
type RPCError struct {
	Call    string // "pin/add"
	Status  int    // of HTTP; 200 when it failed after the answer had begun
	Message string // in Kubo's words
}

func (e *RPCError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s: status %d", e.Call, e.Status)
	}
	return e.Call + ": " + e.Message
}

// unusable explains why the node at api cannot be used.
func unusable(why error, api string, detail string) *pinset.Error {
	kind := pinset.KindUnavailable
	if why == ErrSilent {
		kind = pinset.KindTimeout
	}
	var e *pinset.Error
	if detail == "" {
		e = pinset.Errorf(kind, "ipfs node at %s: %w", api, why)
	} else {
		e = pinset.Errorf(kind, "ipfs node at %s: %w: %s", api, why, detail)
	}
	switch why {
	case ErrNobody:
		return e.WithHint("start it: ipfs daemon (or say where it is: pinfold up --set ipfs.api=/ip4/…/tcp/5001)")
	case ErrNotIPFS:
		return e.WithHint("give the address of the RPC (Addresses.API in Kubo's configuration), not of its gateway or of another server")
	case ErrAuth:
		return e.WithHint("give the secret that API.Authorizations in Kubo's configuration asks for, and allow it /api/v0 there")
	case ErrTrust:
		return e.WithHint("let SSL_CERT_FILE name the certificate, or use the name that it is made out for")
	case ErrTooOld:
		return e.WithHint("update Kubo to %s or later", Oldest)
	}
	return e
}

// failed explains an error of the HTTP exchange itself.
func (c *Client) failed(ctx context.Context, call string, err error) error {
	cause := context.Cause(ctx)
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(cause, ErrSilent):
		return unusable(ErrSilent, c.cfg.API, call)
	case cause != nil:
		return fmt.Errorf("ipfs %s: %w", call, cause)
	case errors.As(err, &op) && op.Op == "dial":
		c.known.Store(false)
		return unusable(ErrNobody, c.cfg.API, op.Err.Error())
	case errors.As(err, &cert):
		return unusable(ErrTrust, c.cfg.API, cert.Err.Error())
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), spokeFirst), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return unusable(ErrNotIPFS, c.cfg.API, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	c.known.Store(false)
	return unusable(ErrTorn, c.cfg.API, call+": "+err.Error())
}

// spokeFirst is how net/http says that bytes came before anything was asked: what an
// SSH or mail server does.
const spokeFirst = "readLoopPeekFailLocked: %!w(<nil>)"

// refused explains an answer that is not 200.
func (c *Client) refused(call string, r *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxMessage))
	message, isJSON := decodeError(body)
	switch {
	case r.StatusCode == http.StatusForbidden, r.StatusCode == http.StatusUnauthorized:
		if !isJSON {
			message = firstLine(body)
		}
		return unusable(ErrAuth, c.cfg.API, call+": "+message)
	case isJSON:
		return rpcFailure(&RPCError{call, r.StatusCode, message})
	case r.StatusCode == http.StatusBadRequest && plain(r):
		return pinset.Wrap(pinset.KindInvalid, &RPCError{call, r.StatusCode, firstLine(body)}, "ipfs")
	case r.StatusCode >= 300 && r.StatusCode < 500:
		return unusable(ErrNotIPFS, c.cfg.API, fmt.Sprintf("%s answered %s", call, r.Status))
	}
	return pinset.Wrap(pinset.KindUnavailable, &RPCError{call, r.StatusCode, firstLine(body)}, "ipfs")
}

// rpcFailure gives Kubo's words a kind.
func rpcFailure(e *RPCError) error {
	kind := pinset.KindInternal
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(e.Message, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("is not pinned", "not pinned or pinned indirectly", "no link named", "called on wrong kind", "could not find", "not found locally", "file does not exist"):
		kind = pinset.KindNotFound
	case has("is pinned recursively", "already pinned recursively"):
		kind = pinset.KindConflict
	case has("invalid path", "invalid cid", "selected encoding not supported", "unrecognized", "pin name is", "expected a file argument"):
		kind = pinset.KindInvalid
	case has("no space left on device", "disk quota exceeded"):
		kind = pinset.KindUnavailable
	case has("context deadline exceeded"):
		kind = pinset.KindTimeout
	}
	return pinset.Wrap(kind, e, "ipfs")
}

func plain(r *http.Response) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain")
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return strings.ToValidUTF8(line[:min(len(line), 200)], "")
}
