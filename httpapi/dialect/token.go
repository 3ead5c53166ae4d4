package dialect

import "time"

// Token is what a token allows; its text is told once, when it is made.
type Token struct {
	ID         string    `json:"id"`
	Note       string    `json:"note"`
	Scopes     []string  `json:"scopes"`
	Owner      string    `json:"owner,omitempty"`
	NamePrefix string    `json:"name_prefix,omitempty"`
	Peer       string    `json:"peer,omitempty"` // whose it is, by its key: such a token has no text
	Created    time.Time `json:"created,omitzero"`
	Expires    time.Time `json:"expires,omitzero"` // zero: never
	Expired    bool      `json:"expired,omitempty"`
}

// NewToken asks for a token. A Secret is taken for its text, as Kubo writes it:
// bearer:TEXT or basic:USER:TEXT.
type NewToken struct {
	Token
	Secret string `json:"secret,omitempty"`
}

// MadeToken is a token that was just made. Text is "" where the client knows it, or
// where there is none.
type MadeToken struct {
	Token
	Text string `json:"token,omitempty"`
}

// LineUpgrade is what a request asks its connection to become that shall lead to
// a member's IPFS-shaped door.
const LineUpgrade = "pinfold-line"
