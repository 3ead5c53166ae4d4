package httpproxy_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
)

// TestTokensOpenBothDoors: what a token allows is the same at the REST API and here,
// and ends at both at once.
func TestTokensOpenBothDoors(t *testing.T) {
	p := startPeer(t, nil, "proxy.anonymous=read", "api.listen=127.0.0.1:0")
	rest, ctx := client.New(p.dir.Socket(), ""), t.Context()
	token := func(tok dialect.Token, secret string) (id, text string) {
		made, err := rest.AddToken(ctx, tok, secret)
		if err != nil {
			t.Fatal(err)
		}
		return made.ID, made.Text
	}
	const secret = "a-secret-that-kubo-had-before"
	reader, readText := token(dialect.Token{Note: "reader", Scopes: []string{"read"}}, "")
	_, addText := token(dialect.Token{Note: "alice", Scopes: []string{"add", "pin", "read"}, Owner: "alice"}, "")
	_, prefixText := token(dialect.Token{Note: "news", Scopes: []string{"pin"}, NamePrefix: "news/"}, "")
	token(dialect.Token{Note: "kubo's", Scopes: []string{"add", "pin"}}, "basic:bob:"+secret)
	as := func(text, path string, files ...file) answer {
		q := request{path: path, files: files, header: map[string]string{"Authorization": "Bearer " + text}}
		if text == "" {
			q.header = nil
		}
		return ask(t, p.api, q)
	}
	hi := file{"f", "hello\n", false}
	for _, tc := range []struct {
		who, text, path string
		status          int
		says            string
	}{
		{"nobody", "", "pin/ls", 200, ""},
		{"nobody", "", "pin/rm?arg=" + hello, 403, "scope pin"},
		{"a stranger", "pinfold-token-of-nobody", "pin/ls", 401, "unknown or revoked"},
		{"reader", readText, "pin/ls", 200, ""},
		{"reader", readText, "pin/rm?arg=" + hello, 403, "pin/rm needs scope pin: reader has [read]"},
		{"reader", readText, "repo/gc", 403, "scope gc"},
		{"reader", readText, "shutdown", 403, "scope admin"},
		{"reader", readText, "config?arg=Datastore.StorageMax&arg=1MB", 403, "scope admin"},
		{"news", prefixText, "pin/add?name=other&arg=" + hello, 403, `"news/"`},
		{"news", prefixText, "pin/ls", 403, "scope read"},
	} {
		r := as(tc.text, tc.path)
		if r.status != tc.status || !strings.Contains(r.body, strings.ReplaceAll(tc.says, `"`, `\"`)) {
			t.Errorf("%s, %s: %d %s, want %d %s", tc.who, tc.path, r.status, r.body, tc.status, tc.says)
		}
	}
	if r := as(addText, "add?pin-name=hers", hi); r.status != 200 || r.trailer != "" {
		t.Fatalf("alice adds: %d %s %s", r.status, r.body, r.trailer)
	}
	if r := as(addText, "pin/ls?names=true"); !strings.Contains(r.body, "hers") {
		t.Errorf("alice sees %s", r.body)
	}
	basic := map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:"+secret))}
	if r := ask(t, p.api, request{path: "pin/rm?arg=" + hello, header: basic}); r.status != 500 || !strings.Contains(r.body, "not pinned") {
		t.Errorf("another owner's pin: %d %s", r.status, r.body)
	}
	if r := as("", "pin/ls"); r.body != "{}\n" {
		t.Errorf("nobody sees %s", r.body)
	}
	if r := as(addText, "pin/rm?arg="+hello); r.status != 200 {
		t.Errorf("alice's own pin: %d %s", r.status, r.body)
	}
	if err := rest.RevokeToken(ctx, reader); err != nil {
		t.Fatal(err)
	}
	if r := as(readText, "pin/ls"); r.status != 401 {
		t.Errorf("a token that was revoked: %d %s", r.status, r.body)
	}
	_, soon := token(dialect.Token{Note: "soon over", Scopes: []string{"pin"}, Expires: time.Now().Add(time.Hour)}, "")
	if r := as(soon, "pin/rm?arg="+hello); r.status != 500 {
		t.Errorf("a token of an hour: %d %s", r.status, r.body)
	}
	if all, err := rest.Tokens(ctx); err != nil || strings.Contains(fmt.Sprint(all), soon) || len(all) != 5 {
		t.Errorf("%v, %v", all, err)
	}
}
