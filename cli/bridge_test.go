package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// post is a call of Kubo's RPC.
func post(t *testing.T, base, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v0/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestABridgeToAMember: what its owner said of a key, and no more, may be done there
// by whatever speaks to a Kubo, until it is taken back.
func TestABridgeToAMember(t *testing.T) {
	alice := startPeer(t, "alice", "")
	_, invite, _ := alice.run("invite", "--json")
	var inv struct{ Invite string }
	if err := json.Unmarshal([]byte(invite), &inv); err != nil || inv.Invite == "" {
		t.Fatalf("%v: %s", err, invite)
	}
	bob := startPeer(t, "bob", inv.Invite)
	kubotest.Eventually(t, patience, "both are members, and connected", func() error {
		if _, _, errs := bob.run("bridge", "alice", "--listen", "192.0.2.1:1"); !strings.Contains(errs, "192.0.2.1") {
			return fmt.Errorf("%s", errs)
		}
		if _, out, _ := alice.run("peers", "--json"); !strings.Contains(out, "\"bob\"") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"bridge", 2, "usage: pinfold bridge NAME"}, {"bridge nobody", 3, "nobody"}, {"bridge alice --listen 0.0.0.0:0", 5, "this peer's rights"},
		{"bridge alice --listen here", 2, "want host:port"},
	} {
		if code, _, errs := bob.run(strings.Fields(tc.args)...); code != tc.code || !strings.Contains(errs, tc.says) {
			t.Errorf("%s: %d %s", tc.args, code, errs)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- bob.runInto(ctx, out, &errs, "bridge", "alice", "--listen", "127.0.0.1:0", "--json") }()
	said, err := bufio.NewReader(in).ReadString('\n')
	var where struct{ Listen, Peer string }
	if err != nil || json.Unmarshal([]byte(said), &where) != nil || where.Listen == "" {
		t.Fatalf("%v: %s", err, said)
	}
	base := "http://" + where.Listen
	if code, body := post(t, base, "id"); code != 401 || !strings.Contains(body, "token add NOTE --peer") {
		t.Errorf("a key of which nothing was said: %d %s", code, body)
	}
	if code, out, errs := alice.run("token", "add", "bob's key", "--peer", "bob", "--scope", "read"); code != 0 || strings.Contains(out, "pinfold-token") {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	code, body := post(t, base, "id")
	if code != 200 || !strings.Contains(body, `"Peers":2`) {
		t.Errorf("with scope read: %d %s", code, body)
	}
	const nothing = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" // the empty raw block
	for path, says := range map[string]string{"pin/add?arg=" + nothing: "bob's key has [read]", "shutdown": "admin", "config/show": "admin", "repo/gc": "scope gc"} {
		if code, body := post(t, base, path); code != 403 || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for _, h := range []string{"Origin: http://localhost", "Origin: https://evil.example", "Referer: https://evil.example/x", "User-Agent: Mozilla/5.0"} {
		if code, body := post(t, base, "id", h); code != 403 {
			t.Errorf("%s: %d %s", h, code, body)
		}
	}
	_, list, _ := alice.run("token", "ls", "--json")
	for line := range strings.Lines(list) {
		var tok struct{ ID, Peer string }
		if err := json.Unmarshal([]byte(line), &tok); err != nil {
			t.Fatal(err)
		}
		if tok.Peer != "" {
			alice.run("token", "rm", tok.ID)
		}
	}
	if code, body := post(t, base, "id"); code != 401 {
		t.Errorf("after it was taken back: %d %s", code, body)
	}
	stop()
	if code := <-ended; code != 0 && code != 130 {
		t.Errorf("the bridge ends with %d: %s", code, errs.String())
	}
	if code, body := post(t, base, "id"); code != 0 {
		t.Errorf("it is still there: %d %s", code, body)
	}
}
