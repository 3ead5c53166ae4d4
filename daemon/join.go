package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/gossip"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// ErrRestart is returned by Run when the daemon shall be made anew: it has joined
// another cluster.
var ErrRestart = errors.New("start again")

// joinTimeout bounds the search for a member that answers.
const joinTimeout = 90 * time.Second

// Joined is the cluster that an invite led to.
type Joined struct {
	Cluster identity.ClusterID
	Name    string
	Known   bool // this peer was in it already; it has the invite's addresses now
}

// Join makes this peer a member of the invite's cluster while no daemon runs. It
// speaks to a member, checks the founding record against the invite, and leaves
// the rest to the next start.
func Join(ctx context.Context, o Options, text string) (Joined, error) {
	invite, err := parseInvite(text)
	if err != nil {
		return Joined{}, err
	}
	lock, err := o.lock()
	if err != nil {
		return Joined{}, err
	}
	defer lock.Unlock()
	old, err := o.Dir.clusters()
	if err != nil {
		return Joined{}, err
	}
	for _, c := range old {
		if c.id == invite.Cluster {
			return Joined{Cluster: c.id, Name: invite.Name, Known: true}, c.learn(invite)
		}
		if err := c.replaceable(ctx, o.log()); err != nil {
			return Joined{}, err
		}
	}
	return o.join(ctx, invite, replacing{old, func() error { return nil }})
}

func parseInvite(text string) (identity.Invite, error) {
	invite, err := identity.ParseInvite(text)
	if err != nil {
		e := pinset.Invalid("%v", err)
		return invite, e.WithHint("copy the whole line that `pinfold invite` printed")
	}
	return invite, nil
}

// replacing is what a join takes the place of.
type replacing struct {
	old  []clusterDir
	free func() error // says whether somebody has come to miss them meanwhile
}

// join fetches the founding record and writes the cluster's directory, which names
// the ones that it replaces: the next start sets them aside.
func (o Options) join(ctx context.Context, invite identity.Invite, r replacing) (Joined, error) {
	cfg, err := o.settle(ctx)
	if err != nil {
		return Joined{}, err
	}
	key, err := o.Dir.loadKey()
	if err != nil {
		return Joined{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	record, err := knock(cfg, key, invite.Secret, invite.Cluster)
	if err != nil {
		return Joined{}, err
	}
	network, err := networkConfig(cfg, key, invite.Secret, o.log())
	if err != nil {
		return Joined{}, err
	}
	f, err := gossip.FetchFounding(ctx, network, invite, record)
	if err != nil {
		return Joined{}, pinset.Wrap(pinset.KindUnavailable, err, "join cluster %q", invite.Name)
	}
	if err := f.CheckSecret(invite.Secret); err != nil {
		return Joined{}, pinset.Wrap(pinset.KindInvalid, err, "join cluster %q", invite.Name)
	}
	peers, err := json.Marshal(invite.Peers)
	if err != nil {
		return Joined{}, err
	}
	if err := r.free(); err != nil {
		return Joined{}, err
	}
	var replaced []byte
	for _, c := range r.old {
		replaced = fmt.Appendln(replaced, c.id)
	}
	if _, err := o.Dir.create(f, invite.Secret, map[string][]byte{"peers": peers, "joining": nil, "replaces": replaced}); err != nil {
		return Joined{}, err
	}
	return Joined{Cluster: f.ID(), Name: f.Name()}, nil
}

// replaceable says no for a cluster that somebody may miss: one with pins or with
// other members.
func (c clusterDir) replaceable(ctx context.Context, log *slog.Logger) error {
	f, secret, err := c.load()
	if err != nil {
		return err
	}
	key, err := c.loadKey()
	if err != nil {
		return err
	}
	cfg, _, err := Load(c.Config(), nil)
	if err != nil {
		return err
	}
	s, err := crdtstate.Open(ctx, crdtstate.Config{Dir: c.path("state"), Store: cfg.State.Store, Founding: f, Secret: secret, Key: key, Log: log})
	if err != nil {
		return err
	}
	defer s.Close()
	return empty(f.Name(), s.Summary().Count, len(s.Authority().Members()))
}

// maxInvited bounds the addresses kept from invites, in peers.
const maxInvited = 32

// learn takes the addresses of a further invite to this cluster, the newest first:
// the ones that are known may all have changed.
func (c clusterDir) learn(invite identity.Invite) error {
	_, secret, err := c.load()
	if err != nil {
		return err
	}
	if secret != invite.Secret {
		return pinset.Invalid("this invite is to the cluster that this peer is in, %q, and its secret is another", invite.Name).
			WithHint("ask for a fresh invite: pinfold invite")
	}
	known := slices.Clone(invite.Peers)
	for _, p := range c.invited("peers") {
		if !slices.ContainsFunc(known, func(k peer.AddrInfo) bool { return k.String() == p.String() }) && len(known) < maxInvited {
			known = append(known, p)
		}
	}
	raw, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return pinset.Wrap(pinset.KindUnavailable, writeFile(c.path("peers"), raw), "write down the invite's addresses")
}

func empty(name string, pins uint64, members int) error {
	if pins == 0 && members <= 1 {
		return nil
	}
	return pinset.Errorf(pinset.KindConflict, "this peer is in cluster %q, with %d pins and %d members", name, pins, members).
		WithHint("leave it first (pinfold leave), or join with a directory of its own: pinfold --dir DIR join INVITE")
}

// knock is the sealed record that a peer shows to be let in. It proves the secret
// and is never part of the state; it stands above whatever the cluster may have of
// an earlier membership of this peer, which it cannot know yet.
func knock(cfg Config, key identity.Key, secret identity.Secret, cluster identity.ClusterID) ([]byte, error) {
	r := memberRecord(cfg, key, secret, cluster, identity.Record{}, "")
	r.Seq, r.Incarnation = identity.LastIncarnation-1, identity.LastIncarnation-1
	return r.Seal(key, cluster)
}

// memberRecord is what this peer says of itself: its configuration, carried on
// from what the cluster has of it.
func memberRecord(cfg Config, key identity.Key, secret identity.Secret, cluster identity.ClusterID, have identity.Record, ipfs peer.ID) identity.Record {
	r := have
	r.Peer, r.Name, r.Proof = key.ID(), cfg.Name, secret.Proof(cluster, key.ID())
	r.Lent, r.Domains, r.Tags = cfg.Give, cfg.Domains(), cfg.Tags
	r.Level = identity.OwnLevel
	r.InPerDay = 0
	if line, err := cfg.Traffic.rules(); err == nil { // an invalid configuration is refused at the start
		r.InPerDay = line.PerDay()
	}
	if ipfs != "" {
		r.IPFSPeer = ipfs
	}
	if r.Seq == 0 {
		r.Seq, r.Phi = 1, identity.FullPhi
	}
	return r
}
