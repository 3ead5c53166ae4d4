package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// What can be wrong with a token that a client shows.
var (
	ErrTokenUnknown = errors.New("unknown or revoked token")
	ErrTokenExpired = errors.New("expired token")
)

// ErrTokenSecret: a secret that somebody brings cannot be a token's text.
var ErrTokenSecret = errors.New("secret of a token")

// ErrTokenTaken: there is a token with this secret, or for this peer, already.
var ErrTokenTaken = errors.New("there is one already")

const tokenPrefix = "pinfold-token-"

// leastSecret is how long a secret must be that somebody brings: it is kept as a
// plain hash, which short ones are guessed from.
const leastSecret = 24

// Token is what a bearer token allows. The token itself is shown once, when it
// is made; only its hash is kept. A token of a peer has no text: who has proved
// that peer's key needs none.
type Token struct {
	ID         string    `json:"id"` // for people and for Revoke; not secret
	Note       string    `json:"note,omitempty"`
	Scopes     []string  `json:"scopes"`
	Owner      string    `json:"owner,omitempty"`       // whose pins it acts for
	NamePrefix string    `json:"name_prefix,omitempty"` // of the pins it may touch
	Peer       string    `json:"peer,omitempty"`        // whose it is, by its key
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires,omitzero"`
}

type storedToken struct {
	Token
	Hash string `json:"sha256,omitempty"` // of the token's text, hex; "" of a peer's
}

// key is where a token is looked up: by its hash, or by its peer, which no hash is.
func (t storedToken) key() string {
	if t.Peer != "" {
		return "peer " + t.Peer
	}
	return t.Hash
}

type tokenFile struct {
	Version int           `json:"version"`
	Tokens  []storedToken `json:"tokens"`
}

// TokenStore is the file of a daemon's tokens, mode 0600. It is safe for
// concurrent use; a change is on disk when the call returns.
type TokenStore struct {
	path   string
	mu     sync.RWMutex
	tokens map[string]storedToken // by key
}

// OpenTokens reads the file; one that does not exist is an empty store.
func OpenTokens(path string) (*TokenStore, error) {
	s := &TokenStore{path: path, tokens: map[string]storedToken{}}
	raw, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open tokens: %w", err)
	}
	var file tokenFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("open tokens %s: %w", path, err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("open tokens %s: version %d: %w", path, file.Version, ErrNewer)
	}
	for _, t := range file.Tokens {
		s.tokens[t.key()] = t
	}
	return s, nil
}

// Create makes a token and returns its text, which cannot be had again; that of a
// peer has none. ID and Created are filled in. ErrTokenTaken: the peer has one.
func (s *TokenStore) Create(t Token, now time.Time) (text string, made Token, err error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	text = tokenPrefix + hex.EncodeToString(raw[:])
	made, err = s.keep(t, text, now)
	if err != nil || t.Peer != "" {
		return "", made, err
	}
	return text, made, nil
}

// Take makes a token whose text somebody brings: as in Kubo's API.Authorizations,
// bearer:TEXT or basic:USER:TEXT. ErrTokenTaken: there is one with this text.
func (s *TokenStore) Take(t Token, secret string, now time.Time) (Token, error) {
	text, err := readAuthSecret(secret)
	if err == nil && t.Peer != "" {
		err = fmt.Errorf("%w: a peer's token has none", ErrTokenSecret)
	}
	if err != nil {
		return Token{}, err
	}
	return s.keep(t, text, now)
}

// readAuthSecret reads what Kubo calls an AuthSecret: bearer:TEXT, basic:USER:TEXT,
// basic: with both in base64, or the text alone. The user is not looked at: the
// text is what opens.
func readAuthSecret(secret string) (text string, err error) {
	scheme, rest, ok := strings.Cut(secret, ":")
	switch {
	case !ok:
		text = secret
	case scheme == "bearer":
		text = rest
	case scheme == "basic" && strings.Contains(rest, ":"):
		_, text, _ = strings.Cut(rest, ":")
	case scheme == "basic":
		raw, err := base64.StdEncoding.DecodeString(rest)
		if _, text, ok = strings.Cut(string(raw), ":"); err != nil || !ok {
			return "", fmt.Errorf("%w: after basic: comes USER:PASSWORD, as it is or in base64", ErrTokenSecret)
		}
	default:
		return "", fmt.Errorf("%w: %q: want bearer:TEXT or basic:USER:TEXT", ErrTokenSecret, scheme)
	}
	if len(text) < leastSecret {
		return "", fmt.Errorf("%w: %d characters, want at least %d: it must not be guessed", ErrTokenSecret, len(text), leastSecret)
	}
	return text, nil
}

func (s *TokenStore) keep(t Token, text string, now time.Time) (Token, error) {
	if len(t.Scopes) == 0 {
		return Token{}, errors.New("create token: no scope")
	}
	hash := hashToken(text)
	t.ID, t.Created, t.Expires = hash[:12], now.UTC().Truncate(time.Second), t.Expires.UTC()
	t.Scopes = slices.Clone(t.Scopes)
	if t.Peer != "" {
		hash = ""
	}
	made := storedToken{t, hash}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.tokens[made.key()]; taken {
		return Token{}, fmt.Errorf("create token: %w", ErrTokenTaken)
	}
	s.tokens[made.key()] = made
	if err := s.save(); err != nil {
		delete(s.tokens, made.key())
		return Token{}, fmt.Errorf("create token: %w", err)
	}
	return t, nil
}

// Revoke ends a token at once. ErrTokenUnknown: there is none with this id.
func (s *TokenStore) Revoke(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, t := range s.tokens {
		if t.ID != id {
			continue
		}
		delete(s.tokens, key)
		if err := s.save(); err != nil {
			s.tokens[key] = t
			return fmt.Errorf("revoke token %s: %w", id, err)
		}
		return nil
	}
	return fmt.Errorf("revoke token %s: %w", id, ErrTokenUnknown)
}

// Tokens lists all, oldest first.
func (s *TokenStore) Tokens() []Token {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Token, 0, len(s.tokens))
	for _, t := range s.tokens {
		out = append(out, t.Token)
	}
	slices.SortFunc(out, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Authorise returns what a token allows at now: ErrTokenUnknown, ErrTokenExpired.
// Tokens have 256 random bits and are looked up by their hash, so the time it
// takes tells nothing.
func (s *TokenStore) Authorise(text string, now time.Time) (Token, error) {
	return s.look(hashToken(text), now)
}

// AuthorisePeer returns what a peer may do who has proved its key: ErrTokenUnknown,
// ErrTokenExpired.
func (s *TokenStore) AuthorisePeer(id string, now time.Time) (Token, error) {
	return s.look(storedToken{Token: Token{Peer: id}}.key(), now)
}

func (s *TokenStore) look(key string, now time.Time) (Token, error) {
	s.mu.RLock()
	t, ok := s.tokens[key]
	s.mu.RUnlock()
	if !ok {
		return Token{}, ErrTokenUnknown
	}
	if !t.Expires.IsZero() && !now.Before(t.Expires) {
		return Token{}, ErrTokenExpired
	}
	return t.Token, nil
}

// AdminToken returns the text in the file at path, mode 0600, or makes a token
// with the given scopes and writes it there. A file whose token was revoked gets
// a new one.
func (s *TokenStore) AdminToken(path string, t Token, now time.Time) (string, error) {
	raw, err := readPrivate(path)
	if err == nil {
		text := strings.TrimSpace(string(raw))
		if _, err := s.Authorise(text, now); err == nil {
			return text, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read admin token: %w", err)
	}
	text, made, err := s.Create(t, now)
	if err != nil {
		return "", err
	}
	if err := writePrivate(path, []byte(text+"\n")); err != nil {
		return "", errors.Join(fmt.Errorf("write admin token: %w", err), s.Revoke(made.ID))
	}
	return text, nil
}

// save writes all tokens; the caller holds the lock.
func (s *TokenStore) save() error {
	file := tokenFile{Version: 1, Tokens: make([]storedToken, 0, len(s.tokens))}
	for _, t := range s.tokens {
		file.Tokens = append(file.Tokens, t)
	}
	slices.SortFunc(file.Tokens, func(a, b storedToken) int { return strings.Compare(a.key(), b.key()) })
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(s.path, append(raw, '\n'))
}

func hashToken(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}
