package httpproxy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/pinfold/pinfold/pinset"
)

// kuboVersion is the Kubo whose RPC this door speaks.
const kuboVersion = "0.42.0"

func (c *call) version() error {
	return c.once(struct {
		Version, Commit, Repo, System, Golang string
		Pinfold                               string
	}{kuboVersion, "", "18", runtime.GOARCH + "/" + runtime.GOOS, runtime.Version(), c.s.cfg.Version})
}

// about is what the cluster adds to what Kubo would say of itself.
type about struct {
	Cluster string
	Name    string
	Peers   int
	Copies  int
	Usable  uint64
}

// id is this peer's IPFS node, and the cluster that it stands for.
func (c *call) id() error {
	if len(c.args) > 0 {
		if c.s.deps.Kubo != nil {
			return c.forward()
		}
		return c.notOffered()
	}
	node, err := c.s.deps.Node.Identity(c.ctx)
	if err != nil {
		return err
	}
	m := struct {
		ID           string
		PublicKey    string
		Addresses    []string
		AgentVersion string
		Protocols    []string
		Pinfold      about
	}{ID: node.Peer.String(), Addresses: node.Addresses, AgentVersion: node.Agent,
		Protocols: []string{"/ipfs/bitswap", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.2.0", "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"}}
	if key, err := node.Peer.ExtractPublicKey(); err == nil {
		if raw, err := crypto.MarshalPublicKey(key); err == nil {
			m.PublicKey = base64.StdEncoding.EncodeToString(raw)
		}
	}
	room, err := c.room()
	if err != nil {
		return err
	}
	m.Pinfold = about{c.s.cfg.Cluster, c.s.cfg.Name, room.peers, room.copies, room.usable}
	return c.once(m)
}

// room is the disk of the cluster as copies can use it.
type room struct {
	peers, copies int
	pins          uint64
	used, usable  uint64
}

func (c *call) room() (room, error) {
	sum, err := c.s.deps.Members.Capacity(c.ctx)
	if err != nil {
		return room{}, err
	}
	agreed, err := c.s.deps.Members.Agreement(c.ctx)
	if err != nil {
		return room{}, err
	}
	r := room{peers: sum.Members, copies: c.s.deps.Copies(), pins: agreed.Count, used: sum.Used}
	if r.copies < 0 || r.copies > len(sum.Usable) {
		r.copies = len(sum.Usable)
	}
	if r.copies > 0 {
		r.used /= uint64(r.copies)
		r.usable = sum.Usable[r.copies-1].Bytes
	}
	return r, nil
}

type statMessage struct {
	RepoSize   uint64
	StorageMax uint64
	NumObjects uint64
	RepoPath   string
	Version    string
	Pinfold    about
}

func (c *call) repoStat() error {
	r, err := c.room()
	if err != nil {
		return err
	}
	m := statMessage{RepoSize: r.used, StorageMax: max(r.used, r.usable),
		Pinfold: about{c.s.cfg.Cluster, c.s.cfg.Name, r.peers, r.copies, r.usable}}
	if !c.flag("size-only", false) {
		m.NumObjects, m.RepoPath, m.Version = r.pins, "/pinfold/"+c.s.cfg.Cluster, "fs-repo@18"
	}
	return c.once(m)
}

// gcMessage is a block that went, or one that did not.
type gcMessage struct {
	Key   any
	Error string `json:",omitempty"`
}

// repoGC collects the garbage of this peer's IPFS node.
func (c *call) repoGC() error {
	out, streamErrors, silent := c.lines(), c.flag("stream-errors", false), c.flag("silent", false)
	for k, err := range c.s.deps.Data.GC(c.ctx) {
		switch {
		case err == nil && silent:
			continue
		case err == nil:
			err = out.emit(gcMessage{Key: json.RawMessage(fmt.Sprintf(`{"/":%q}`, k.String()))})
		case streamErrors && pinset.KindOf(err) != pinset.KindUnavailable:
			if err := out.emit(gcMessage{Error: err.Error()}); err != nil {
				return out.end(err)
			}
			return out.end(kuboError("encountered errors during gc run"))
		}
		if err != nil {
			return out.end(err)
		}
	}
	return out.end(c.ctx.Err())
}
