package daemon

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// OpenState opens the state of the one cluster in a directory where no daemon runs.
func OpenState(ctx context.Context, dir Dir) (*crdtstate.State, error) {
	have, err := dir.clusters()
	if err != nil {
		return nil, err
	}
	key, err := dir.loadKey()
	if err != nil {
		return nil, err
	}
	founding, secret, err := have[0].load()
	if err != nil {
		return nil, err
	}
	cfg, _, err := Load(dir.Config(), nil)
	if err != nil {
		return nil, err
	}
	return crdtstate.Open(ctx, crdtstate.Config{
		Dir: have[0].path("state"), Store: cfg.State.Store, Founding: founding, Secret: secret, Key: key,
	})
}

// StateDir is where the state of the one cluster in a directory is kept.
func StateDir(dir Dir) (string, error) {
	have, err := dir.clusters()
	if err != nil {
		return "", err
	}
	return have[0].path("state"), nil
}

// Said says whether a member has said here that it holds a pin.
func (d *Daemon) Said(ctx context.Context, p pinset.Pin, by peer.ID) bool {
	return d.peer.cluster.Said(ctx, p, by)
}

// Traffic returns the bytes that this peer received and sent.
func (d *Daemon) Traffic() (in, out uint64) { return d.peer.network.Traffic() }

// Trim gives memory back after bursts, until ctx ends.
func Trim(ctx context.Context) error { return trim(ctx) }

// Node is the IPFS node that this daemon stores its data in.
func (d *Daemon) Node() ipfsclient.Node { return d.node.Node }
