package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// ControlEnv names the environment variable that makes a daemon open a control
// socket at the path it holds. Only testnet sets it: through that socket it cuts
// this peer's connections.
const ControlEnv = "PINFOLD_TESTNET_CONTROL"

// CutRequest is the set of peers that this one shall not talk to from now on, as
// members and as IPFS nodes. The empty set heals.
type CutRequest struct {
	Members []string `json:"members"`
	IPFS    []string `json:"ipfs"`
}

// cutter is what can be cut: the cluster's network, and the embedded IPFS node.
type cutter interface {
	Cut(ids ...peer.ID)
	Heal()
}

type control struct {
	server *http.Server
	listen net.Listener
}

func openControl(path string, members, ipfs cutter) (*control, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cut", func(w http.ResponseWriter, r *http.Request) {
		var req CutRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		cut(members, req.Members)
		if ipfs != nil {
			cut(ipfs, req.IPFS)
		}
	})
	return &control{&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, l}, nil
}

func cut(c cutter, ids []string) {
	c.Heal()
	var away []peer.ID
	for _, text := range ids {
		if id, err := peer.Decode(text); err == nil {
			away = append(away, id)
		}
	}
	if len(away) > 0 {
		c.Cut(away...)
	}
}

func (c *control) Run(ctx context.Context, log *slog.Logger) error {
	log.Warn("control socket open: this is a testnet peer", "component", "control")
	stop := context.AfterFunc(ctx, func() { c.server.Close() })
	defer stop()
	if err := c.server.Serve(c.listen); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
