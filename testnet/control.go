package testnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/pinset"
)

// cut replaces the set of peers that p does not talk to.
func (p *Peer) cut(ctx context.Context, away daemon.CutRequest) error {
	body, err := json.Marshal(away)
	if err != nil {
		return err
	}
	return post(ctx, p.controlSocket(), "/cut", bytes.NewReader(body))
}

// CutRunning cuts the network that runs in dir (of another process).
func CutRunning(ctx context.Context, dir string, groups []string) error {
	return post(ctx, controlSocket(dir), "/cut?"+url.Values{"group": groups}.Encode(), nil)
}

// HealRunning heals the network that runs in dir.
func HealRunning(ctx context.Context, dir string) error {
	return post(ctx, controlSocket(dir), "/heal", nil)
}

func post(ctx context.Context, socket, path string, body io.Reader) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://testnet"+path, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if errors.Is(err, os.ErrNotExist) {
		return pinset.Errorf(pinset.KindUnavailable, "no testnet runs there (%s)", socket).WithHint("start one: pinfold testnet")
	}
	if err != nil {
		return fmt.Errorf("speak to %s: %w", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return pinset.Invalid("%s", strings.TrimSpace(string(text)))
	}
	return nil
}
