package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/daemon"
)

// patience bounds a wait for daemons.
const patience = 30 * time.Second

// peerHere is a daemon over the embedded node, for commands to speak to.
type peerHere struct {
	dir string
	t   *testing.T
}

// startPeer runs one of this name, in the invite's cluster or one of its own.
func startPeer(t *testing.T, name, invite string) peerHere {
	t.Helper()
	parent, err := os.MkdirTemp("", "pfc") // short: unix sockets want it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	p := peerHere{filepath.Join(parent, "p"), t}
	opts := daemon.Options{Dir: daemon.Dir(p.dir), Version: "test", Flags: map[string]string{
		"name": name, "give": "1GB", "network.listen": "/ip4/127.0.0.1/tcp/0", "network.mdns": "false", "network.port_map": "false", "network.relay": "false",
		"api.listen": "", "proxy.listen": "", "ipfs.node": "embedded", "ipfs.listen": "/ip4/127.0.0.1/tcp/0",
	}}
	if invite != "" {
		if _, err := daemon.Join(t.Context(), opts, invite); err != nil {
			t.Fatal(err)
		}
	}
	d, err := daemon.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("daemon: %v", err)
		}
	})
	return p
}

// run runs a command line to its end.
func (p peerHere) run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = p.runInto(p.t.Context(), &out, &errs, args...)
	return code, out.String(), errs.String()
}

func (p peerHere) runInto(ctx context.Context, out, errs io.Writer, args ...string) int {
	return Run(ctx, append([]string{"pinfold", "--dir", p.dir}, args...), Streams{In: strings.NewReader(""), Out: out, Err: errs})
}
