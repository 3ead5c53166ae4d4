package dialect

import (
	"encoding/json"
	"net/http"

	"github.com/pinfold/pinfold/pinset"
)

// The trailers of a stream: ipfs-cluster's, which is the error's text, and ours,
// which is the whole problem in one line. The first is "" when all went well.
const (
	TrailerError   = "X-Stream-Error"
	TrailerProblem = "Pinfold-Problem"
)

// Problem is the body of every error: ipfs-cluster's {code, message} and the
// members of problem JSON (RFC 9457) in one object.
type Problem struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Type    string `json:"type"` // a kind's name in pinset's table
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Hint    string `json:"hint,omitempty"`
}

// NewProblem describes err. A status other than 0 overrides that of its kind.
func NewProblem(err error, status int) Problem {
	info := pinset.KindOf(err).Info()
	if status == 0 {
		status = info.HTTP
	}
	return Problem{Code: status, Message: err.Error(), Type: info.Name,
		Title: http.StatusText(status), Status: status, Hint: pinset.HintOf(err)}
}

// Err is the error that the problem describes.
func (p Problem) Err() error {
	return &pinset.Error{Kind: pinset.KindNamed(p.Type), Msg: p.Message, Hint: p.Hint}
}

// DecodeProblem reads the body of an answer with an error's status. Bodies that
// are no problem (of a proxy in between) are quoted.
func DecodeProblem(status int, body []byte) error {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Message == "" {
		if len(body) > 200 {
			body = body[:200]
		}
		return pinset.Errorf(kindOfStatus(status), "%d %s: %q", status, http.StatusText(status), body)
	}
	if p.Type == "" {
		p.Type = kindOfStatus(status).Info().Name
	}
	return p.Err()
}

func kindOfStatus(status int) pinset.Kind {
	for k := pinset.KindInternal; k <= pinset.KindTimeout; k++ {
		if k.Info().HTTP == status {
			return k
		}
	}
	switch {
	case status == http.StatusBadGateway:
		return pinset.KindUnavailable
	case status >= 400 && status < 500:
		return pinset.KindInvalid
	}
	return pinset.KindInternal
}
