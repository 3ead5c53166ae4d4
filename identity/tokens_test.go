package identity_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

func openTokens(t *testing.T, path string) *identity.TokenStore {
	t.Helper()
	s, err := identity.OpenTokens(path)
	return must(t, s, err)
}

func TestTokensAllowWhatTheyWereMadeFor(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "tokens.json"), identitytest.Start()
	s := openTokens(t, path)
	text, made, err := s.Create(identity.Token{Note: "cron", Scopes: []string{"pin", "read"}, Owner: "alice", NamePrefix: "a/", Expires: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	forever, _, err := s.Create(identity.Token{Scopes: []string{"read"}}, now.Add(time.Second))
	must(t, forever, err)
	raw, err := os.ReadFile(path)
	if strings.Contains(string(must(t, raw, err)), text) {
		t.Error("the file holds the token itself")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for name, s := range map[string]*identity.TokenStore{"same": s, "opened again": openTokens(t, path)} {
		got, err := s.Authorise(text, now)
		if diff := cmp.Diff(made, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		if _, err := s.Authorise(text, now.Add(time.Hour)); !errors.Is(err, identity.ErrTokenExpired) {
			t.Errorf("%s: after its time: %v", name, err)
		}
		if _, err := s.Authorise(forever, now.Add(1e6*time.Hour)); err != nil {
			t.Errorf("%s: without a time: %v", name, err)
		}
		for _, bad := range []string{"", "x", text + "x", strings.ToUpper(text), made.ID} {
			if _, err := s.Authorise(bad, now); !errors.Is(err, identity.ErrTokenUnknown) {
				t.Errorf("%s: %q: %v", name, bad, err)
			}
		}
		if l := s.Tokens(); len(l) != 2 || l[0].Note != "cron" {
			t.Errorf("%s: list %v", name, l)
		}
	}
}

func TestTokensAreRevokedAtOnceAndForGood(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "tokens.json"), identitytest.Start()
	s := openTokens(t, path)
	text, made, err := s.Create(identity.Token{Scopes: []string{"read"}}, now)
	must(t, text, err)
	if err := s.Revoke(made.ID); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*identity.TokenStore{"same": s, "opened again": openTokens(t, path)} {
		if _, err := s.Authorise(text, now); !errors.Is(err, identity.ErrTokenUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Revoke(made.ID); !errors.Is(err, identity.ErrTokenUnknown) {
		t.Errorf("twice: %v", err)
	}
	if _, _, err := s.Create(identity.Token{}, now); err == nil {
		t.Error("a token without a scope was made")
	}
}

// A change that did not reach the disk did not happen.
func TestTokensFailAsAWhole(t *testing.T) {
	dir, now := t.TempDir(), identitytest.Start()
	path := filepath.Join(dir, "sub", "tokens.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s := openTokens(t, path)
	text, made, err := s.Create(identity.Token{Scopes: []string{"read"}}, now)
	must(t, text, err)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Create(identity.Token{Scopes: []string{"read"}}, now); err == nil || len(s.Tokens()) != 1 {
		t.Errorf("create without a disk: %v, %d tokens", err, len(s.Tokens()))
	}
	if err := s.Revoke(made.ID); err == nil {
		t.Error("revoke without a disk")
	}
	if _, err := s.Authorise(text, now); err != nil {
		t.Errorf("after a failed revoke: %v", err)
	}
}

func TestAdminTokenIsMadeOnce(t *testing.T) {
	dir, now := t.TempDir(), identitytest.Start()
	s, path := openTokens(t, filepath.Join(dir, "tokens.json")), filepath.Join(dir, "admin")
	admin := identity.Token{Note: "admin", Scopes: []string{"admin"}}
	first, err := s.AdminToken(path, admin, now)
	must(t, first, err)
	again, err := s.AdminToken(path, admin, now)
	if again != first || err != nil || len(s.Tokens()) != 1 {
		t.Errorf("second start: another token, %v", err)
	}
	if err := s.Revoke(s.Tokens()[0].ID); err != nil {
		t.Fatal(err)
	}
	fresh, err := s.AdminToken(path, admin, now)
	if fresh == first || err != nil {
		t.Errorf("after revocation: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AdminToken(path, admin, now); !errors.Is(err, identity.ErrExposed) {
		t.Errorf("a file others can read: %v", err)
	}
}

// TestSecretsOfKubo: who has secrets in Kubo's API.Authorizations keeps them.
func TestSecretsOfKubo(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "tokens.json"), identitytest.Start()
	s, read := openTokens(t, path), identity.Token{Scopes: []string{"read"}}
	const long = "0123456789abcdef01234567"
	for _, tc := range []struct{ secret, text string }{
		{"bearer:b" + long, "b" + long}, {"basic:alice:c" + long, "c" + long}, {"n" + long, "n" + long},
		{"basic:" + base64.StdEncoding.EncodeToString([]byte("bob:d"+long)), "d" + long}, {"basic:eve:with:colon" + long, "with:colon" + long},
	} {
		made, err := s.Take(read, tc.secret, now)
		if err != nil {
			t.Errorf("%s: %v", tc.secret, err)
			continue
		}
		if got, err := openTokens(t, path).Authorise(tc.text, now); err != nil || got.ID != made.ID {
			t.Errorf("%s: %q opens %v, %v", tc.secret, tc.text, got, err)
		}
		if _, err := s.Take(read, tc.secret, now); !errors.Is(err, identity.ErrTokenTaken) {
			t.Errorf("%s, twice: %v", tc.secret, err)
		}
	}
	for _, bad := range []string{"", "bearer:short", "basic:alice:short", "digest:" + long, "basic:" + long, "basic:!" + long} {
		if _, err := s.Take(read, bad, now); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestAPeersTokenIsItsKey: no text opens it, whatever it says.
func TestAPeersTokenIsItsKey(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "tokens.json"), identitytest.Start()
	s := openTokens(t, path)
	text, made, err := s.Create(identity.Token{Peer: "12D3bob", Scopes: []string{"pin"}, Expires: now.Add(time.Hour)}, now)
	if err != nil || text != "" {
		t.Fatalf("%q, %v", text, err)
	}
	if _, _, err := s.Create(identity.Token{Peer: "12D3bob", Scopes: []string{"read"}}, now); !errors.Is(err, identity.ErrTokenTaken) {
		t.Errorf("a second one: %v", err)
	}
	for name, s := range map[string]*identity.TokenStore{"same": s, "opened again": openTokens(t, path)} {
		if got, err := s.AuthorisePeer("12D3bob", now); err != nil || got.ID != made.ID {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, err := s.AuthorisePeer("12D3eve", now); !errors.Is(err, identity.ErrTokenUnknown) {
			t.Errorf("%s: another peer: %v", name, err)
		}
		if _, err := s.AuthorisePeer("12D3bob", now.Add(time.Hour)); !errors.Is(err, identity.ErrTokenExpired) {
			t.Errorf("%s: after its time: %v", name, err)
		}
		for _, text := range []string{"12D3bob", "peer 12D3bob", "", made.ID} {
			if _, err := s.Authorise(text, now); !errors.Is(err, identity.ErrTokenUnknown) {
				t.Errorf("%s: the text %q opens it: %v", name, text, err)
			}
		}
	}
	if err := s.Revoke(made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AuthorisePeer("12D3bob", now); !errors.Is(err, identity.ErrTokenUnknown) {
		t.Errorf("revoked: %v", err)
	}
}
