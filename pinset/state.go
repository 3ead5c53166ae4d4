package pinset

// StateInfo is what a peer's replicated state is made of, and how far the next epoch
// is: the history before an epoch is folded into what is live of it.
type StateInfo struct {
	Epoch   uint64 `json:"epoch"`             // in force at this peer, from 0
	Genesis string `json:"genesis,omitempty"` // CID of what the epoch begins with; none for the first
	Blocks  uint64 `json:"blocks"`            // deltas since then
	Folded  uint64 `json:"folded"`            // older deltas of which only what is live is kept
	Pins    uint64 `json:"pins"`              // live
	Bytes   uint64 `json:"bytes"`             // on this peer's disk

	// Closing is how far the next epoch is; none when nobody asked for one.
	Closing *Closing `json:"closing,omitempty"`
}

// Closing is an epoch that is about to begin.
type Closing struct {
	Sealed  []NamedPeer `json:"sealed"`            // who said what it has
	Acked   []NamedPeer `json:"acked"`             // who has everything, and computed the same as this peer
	Waiting []NamedPeer `json:"waiting"`           // who has to do the one or the other first
	Trouble string      `json:"trouble,omitempty"` // what keeps this peer itself
}

// NamedPeer is a member with its name.
type NamedPeer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}
