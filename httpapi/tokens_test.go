package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func TestTokensOverTheWire(t *testing.T) {
	s := serve(t, Config{})
	c, ctx := client.New(s.tcp, "admin"), t.Context()
	want := dialect.Token{Note: "cron", Scopes: []string{"read", "pin"}, Owner: "zoë", NamePrefix: "a/", Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
	made, err := c.AddToken(ctx, want, "")
	if want.ID = made.ID; err != nil || made.Text != "text of "+made.ID {
		t.Fatalf("%v, %v", made, err)
	}
	if diff := cmp.Diff(want, made.Token); diff != "" {
		t.Error(diff)
	}
	if made, err := c.AddToken(ctx, dialect.Token{Scopes: []string{"gc"}, Peer: testPeer("bob").String()}, ""); err != nil || made.Text != "" {
		t.Errorf("a peer's: %v, %v", made, err)
	}
	all, err := c.Tokens(ctx)
	if err != nil || len(all) != 2 || all[0].ID != made.ID || strings.Contains(fmt.Sprint(all), made.Text) {
		t.Errorf("%v, %v", all, err)
	}
	s.mu.Lock()
	s.tokens[0].Expires = time.Now().Add(-time.Second)
	s.mu.Unlock()
	if all, err := c.Tokens(ctx); err != nil || !all[0].Expired || all[1].Expired {
		t.Errorf("expired: %v, %v", all, err)
	}
	if err := c.RevokeToken(ctx, made.ID); err != nil {
		t.Error(err)
	}
	if err := c.RevokeToken(ctx, made.ID); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("twice: %v", err)
	}
}

// TestTokensAreAskedForStrictly: nothing is made of what may be meant otherwise.
func TestTokensAreAskedForStrictly(t *testing.T) {
	s := serve(t, Config{})
	for body, says := range map[string]string{
		`{}`:                           "no scope",
		`{"scopes":[]}`:                "no scope",
		`{"scopes":["reed"]}`:          `scope "reed"`,
		`{"scopes":["read","read"]}`:   "twice",
		`{"scopes":["read"],"id":"x"}`: "daemon's to say",
		`{"scopes":["read"],"expires":"2001-01-01T00:00:00Z"}`:                              "ahead",
		`{"scopes":["read"],"peer":"bob"}`:                                                  `peer "bob"`,
		`{"scopes":["read"],"owner":"` + strings.Repeat("o", pinset.MaxOwner+1) + `"}`:      "owner",
		`{"scopes":["read"],"note":"` + strings.Repeat("n", maxNote+1) + `"}`:               "note",
		`{"scopes":["read"],"name_prefix":"` + strings.Repeat("n", pinset.MaxName+1) + `"}`: "name_prefix",
		`{"scopes":["read"],"admin":true}`:                                                  "admin",
		`["read"]`:                                                                          "body",
	} {
		r, err := http.NewRequest(http.MethodPost, s.tcp+"/tokens", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer admin")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var p dialect.Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(p.Message, says) {
			t.Errorf("%.60s: %d %q, want %q", body, resp.StatusCode, p.Message, says)
		}
	}
	if s.count() != 0 {
		t.Error("something was made")
	}
}
