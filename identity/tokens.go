package identity

import (
	"crypto/rand"
	"crypto/sha256"
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

const tokenPrefix = "pinfold-token-"

// Token is what a bearer token allows. The token itself is shown once, when it
// is made; only its hash is kept.
type Token struct {
	ID         string    `json:"id"` // for people and for Revoke; not secret
	Note       string    `json:"note,omitempty"`
	Scopes     []string  `json:"scopes"`
	Owner      string    `json:"owner,omitempty"`       // whose pins it acts for
	NamePrefix string    `json:"name_prefix,omitempty"` // of the pins it may touch
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires,omitzero"`
}

type storedToken struct {
	Token
	Hash string `json:"sha256"` // of the token's text, hex
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
	byHash map[string]storedToken
}

// OpenTokens reads the file; one that does not exist is an empty store.
func OpenTokens(path string) (*TokenStore, error) {
	s := &TokenStore{path: path, byHash: map[string]storedToken{}}
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
		s.byHash[t.Hash] = t
	}
	return s, nil
}

// Create makes a token and returns its text, which cannot be had again. ID and
// Created are filled in.
func (s *TokenStore) Create(t Token, now time.Time) (text string, made Token, err error) {
	if len(t.Scopes) == 0 {
		return "", Token{}, errors.New("create token: no scope")
	}
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	text = tokenPrefix + hex.EncodeToString(raw[:])
	hash := hashToken(text)
	t.ID, t.Created, t.Expires = hash[:12], now.UTC().Truncate(time.Second), t.Expires.UTC()
	t.Scopes = slices.Clone(t.Scopes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byHash[hash] = storedToken{t, hash}
	if err := s.save(); err != nil {
		delete(s.byHash, hash)
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	return text, t, nil
}

// Revoke ends a token at once. ErrTokenUnknown: there is none with this id.
func (s *TokenStore) Revoke(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash, t := range s.byHash {
		if t.ID != id {
			continue
		}
		delete(s.byHash, hash)
		if err := s.save(); err != nil {
			s.byHash[hash] = t
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
	out := make([]Token, 0, len(s.byHash))
	for _, t := range s.byHash {
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
	s.mu.RLock()
	t, ok := s.byHash[hashToken(text)]
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
	file := tokenFile{Version: 1, Tokens: make([]storedToken, 0, len(s.byHash))}
	for _, t := range s.byHash {
		file.Tokens = append(file.Tokens, t)
	}
	slices.SortFunc(file.Tokens, func(a, b storedToken) int { return strings.Compare(a.Hash, b.Hash) })
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
