package dialect

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// Peer is a member as it stands in the API: ipfs-cluster's ID object, and below
// peername ours.
type Peer struct {
	ID           string    `json:"id"`
	Addresses    []string  `json:"addresses"`
	Peers        []string  `json:"cluster_peers"` // that it is known to be connected with, itself included
	PeersAddrs   []string  `json:"cluster_peers_addresses"`
	Version      string    `json:"version"`
	Commit       string    `json:"commit"`
	Protocol     string    `json:"rpc_protocol_version"`
	Error        string    `json:"error"`
	IPFS         IPFS      `json:"ipfs"`
	PeerName     string    `json:"peername"`
	Self         bool      `json:"self,omitempty"`
	Connected    bool      `json:"connected"`
	State        string    `json:"state,omitempty"`
	Role         string    `json:"role,omitempty"`
	Tags         []string  `json:"tags,omitempty"`
	Domains      []string  `json:"domains,omitempty"`
	Lent         uint64    `json:"lent"`                 // bytes
	Used         uint64    `json:"used"`                 // bytes
	InPerDay     uint64    `json:"in_per_day,omitempty"` // bytes
	Traffic      string    `json:"traffic,omitempty"`
	Phi          uint32    `json:"phi"` // 0..65536
	LastHeard    time.Time `json:"last_heard,omitzero"`
	Pins         uint64    `json:"pins"`
	Agrees       bool      `json:"agrees"`
	Queued       uint64    `json:"queued"`
	Share        uint32    `json:"share,omitempty"`  // of what all lend, in hundredths of a percent
	Behind       uint64    `json:"behind,omitempty"` // changes that it has not said it knows
	Twins        []string  `json:"shares_ipfs_with,omitempty"`
	Sync         string    `json:"sync,omitempty"`
	ClusterID    string    `json:"cluster_id,omitempty"`   // of GET /id
	ClusterName  string    `json:"cluster_name,omitempty"` // of GET /id
	ErrorMessage string    `json:"peer_error,omitempty"`   // a fault that does not make the peer unreadable

	Exchange *pinset.Exchange `json:"exchange,omitempty"` // of its IPFS node; only of the peer itself
}

// IPFS is a member's IPFS node.
type IPFS struct {
	ID        string   `json:"id,omitempty"`
	Addresses []string `json:"addresses"`
	Error     string   `json:"error"`
	Agent     string   `json:"agent,omitempty"`
}

// NewPeer gives a peer its JSON form; sees are the members it is known to be
// connected with, itself included.
func NewPeer(p pinset.Peer, sees []peer.ID) Peer {
	return Peer{
		ID: p.ID.String(), Addresses: list(p.Addresses), Peers: encodePeers(sees), PeersAddrs: []string{},
		Version: p.Version, IPFS: IPFS{ID: encodePeer(p.IPFS.Peer), Addresses: list(p.IPFS.Addresses), Error: p.IPFSError, Agent: p.IPFS.Agent},
		PeerName: p.Name, Self: p.Self, Connected: p.Connected, State: p.State, Role: p.Role, Tags: p.Tags, Domains: p.Domains,
		Lent: p.Lent, Used: p.Used, Phi: p.Phi, LastHeard: p.LastHeard.UTC(), Pins: p.Pins, Agrees: p.Agrees, Queued: p.Queued,
		InPerDay: p.InPerDay, Traffic: p.Traffic,
		Share: p.Share, Behind: p.Behind, Twins: orNil(encodePeers(p.Twins)), Sync: p.JoinedSync, ErrorMessage: p.Error, Exchange: p.Exchange,
	}
}

// Value is the inverse of NewPeer.
func (o Peer) Value() (p pinset.Peer, err error) {
	if p.ID, err = decodePeer(o.ID); err != nil {
		return p, pinset.Wrap(pinset.KindInternal, err, "read a peer")
	}
	if p.IPFS.Peer, err = decodePeer(o.IPFS.ID); err != nil {
		return p, pinset.Wrap(pinset.KindInternal, err, "read a peer")
	}
	p.IPFS.Addresses, p.IPFS.Agent, p.IPFSError = orNil(o.IPFS.Addresses), o.IPFS.Agent, o.IPFS.Error
	if p.Twins, err = decodePeers(o.Twins); err != nil {
		return p, pinset.Wrap(pinset.KindInternal, err, "read a peer")
	}
	p.Share, p.Behind, p.Exchange = o.Share, o.Behind, o.Exchange
	p.InPerDay, p.Traffic = o.InPerDay, o.Traffic
	p.Name, p.Self, p.Connected, p.Addresses, p.Version = o.PeerName, o.Self, o.Connected, orNil(o.Addresses), o.Version
	p.State, p.Role, p.Tags, p.Domains = o.State, o.Role, o.Tags, o.Domains
	p.Lent, p.Used, p.Phi, p.LastHeard = o.Lent, o.Used, o.Phi, stamp(o.LastHeard)
	p.Pins, p.Agrees, p.Queued, p.JoinedSync, p.Error = o.Pins, o.Agrees, o.Queued, o.Sync, o.ErrorMessage
	return p, nil
}

// Graph is who is connected with whom, as far as one peer knows:
// ipfs-cluster's ConnectGraph.
type Graph struct {
	Self       string              `json:"cluster_id"`
	Names      map[string]string   `json:"id_to_peername"`
	IPFSLinks  map[string][]string `json:"ipfs_links"` // empty: nobody asks the IPFS nodes
	Links      map[string][]string `json:"cluster_links"`
	TrustLinks map[string]bool     `json:"cluster_trust_links"`
	ToIPFS     map[string]string   `json:"cluster_to_ipfs"`
}

// Agreement is pinset.Agreement in JSON.
type Agreement struct {
	Members int      `json:"members"`
	Heard   int      `json:"heard"`
	Agree   int      `json:"agree"`
	Behind  []string `json:"behind"`
	Silent  []string `json:"silent"`
	Count   uint64   `json:"count"`
	Digest  string   `json:"digest"`
	Sides   []Side   `json:"sides"`
	Sync    string   `json:"sync,omitempty"`
}

// NewAgreement gives an agreement its JSON form.
func NewAgreement(a pinset.Agreement) Agreement {
	return Agreement{Members: a.Members, Heard: a.Heard, Agree: a.Agree, Behind: encodePeers(a.Behind),
		Silent: encodePeers(a.Silent), Count: a.Count, Digest: a.Digest, Sides: newSides(a.Sides), Sync: a.Sync}
}

// Value is the inverse of NewAgreement.
func (o Agreement) Value() (a pinset.Agreement, err error) {
	if a.Behind, err = decodePeers(o.Behind); err != nil {
		return a, pinset.Wrap(pinset.KindInternal, err, "read an agreement")
	}
	if a.Silent, err = decodePeers(o.Silent); err != nil {
		return a, pinset.Wrap(pinset.KindInternal, err, "read an agreement")
	}
	if a.Sides, err = sidesOf(o.Sides); err != nil {
		return a, pinset.Wrap(pinset.KindInternal, err, "read an agreement")
	}
	a.Members, a.Heard, a.Agree, a.Count, a.Digest, a.Sync = o.Members, o.Heard, o.Agree, o.Count, o.Digest, o.Sync
	return a, nil
}

func encodePeer(id peer.ID) string {
	if id == "" {
		return ""
	}
	return id.String()
}

func encodePeers(ids []peer.ID) []string {
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// list is s, and [] where encoding/json would write null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
