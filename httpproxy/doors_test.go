package httpproxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/daemon"
)

// TestTheDoorOnTLS: who trusts the certificate that was made gets in, over the
// network with a token only.
func TestTheDoorOnTLS(t *testing.T) {
	p := startPeer(t, nil, "proxy.tls=true")
	if !strings.HasPrefix(p.api, "https://") {
		t.Fatal(p.api)
	}
	raw, err := os.ReadFile(filepath.Join(string(p.dir), "door.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(raw) {
		t.Fatal("no certificate")
	}
	key, err := os.Stat(filepath.Join(string(p.dir), "door.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", key.Mode(), err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	r, err := client.Post(p.api+"/api/v0/version", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 || r.ProtoMajor != 1 {
		t.Errorf("%d %s", r.StatusCode, r.Proto)
	}
}

// TestTheDoorOnASocket gives this machine's user all rights, and browsers none.
func TestTheDoorOnASocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "pfs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "rpc.sock")
	startPeer(t, nil, "proxy.socket="+socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info, err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for agent, want := range map[string]int{"curl/8": 200, "Mozilla/5.0": 403} {
		r, err := http.NewRequest(http.MethodPost, "http://unix/api/v0/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("User-Agent", agent)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", agent, resp.StatusCode, want)
		}
	}
}

// TestATakenPortSaysSo names the port and what to do.
func TestATakenPortSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	_, err = daemon.New(t.Context(), daemon.Options{Dir: daemon.Dir(filepath.Join(dir, "p")), Flags: map[string]string{
		"name": "p1", "give": "1GB", "network.listen": "/ip4/127.0.0.1/tcp/0", "network.mdns": "false", "network.port_map": "false", "network.relay": "false",
		"api.listen": "", "proxy.listen": l.Addr().String(), "ipfs.node": "embedded", "ipfs.listen": "/ip4/127.0.0.1/tcp/0"}})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "proxy.listen") {
		t.Errorf("%v", err)
	}
}

// TestTokensSayWhatTheyMay: the admin token opens what the table does not offer,
// and a wrong one opens nothing.
func TestTokensSayWhatTheyMay(t *testing.T) {
	p := startPeer(t, nil, "proxy.anonymous=read")
	raw, err := os.ReadFile(p.dir.Token())
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(raw))
	for _, tc := range []struct {
		path, auth string
		want       int
	}{
		{"version", "", 200}, {"pin/ls", "", 200}, {"pin/add?arg=" + hello, "", 403}, {"repo/gc", "", 403},
		{"version", "Bearer wrong", 401}, {"version", "nonsense", 401}, {"repo/gc", "Bearer " + token, 200}, {"repo/gc", "bearer " + token, 200}, {"config/show", "Bearer " + token, 403},
	} {
		header := map[string]string{}
		if tc.auth != "" {
			header["Authorization"] = tc.auth
		}
		if r := ask(t, p.api, request{path: tc.path, header: header}); r.status != tc.want {
			t.Errorf("%s with %.12q: %d %s, want %d", tc.path, tc.auth, r.status, r.body, tc.want)
		}
	}
}
