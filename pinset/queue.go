package pinset

import "time"

// Queue is what one peer has to fetch and to let go: what runs, and what waits.
type Queue struct {
	Running []Turn `json:"running"` // the first to begin first
	Ready   []Turn `json:"ready"`   // wait for their turn, about in their order; not all, if there are many
	Later   []Turn `json:"later"`   // wait for their time, the next first; not all, if there are many
	Lanes   []Lane `json:"lanes"`   // how many wait for their turn in each line, the most urgent first
	Waiting int    `json:"waiting"` // how many wait for their turn
	PutOff  int    `json:"put_off"` // how many wait for their time
	Bytes   uint64 `json:"bytes"`   // that are known to be missing of what waits for its turn and counts towards the minimum
}

// Lane is a line in which CIDs wait for their turn.
type Lane struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Turn is a CID in the queue.
type Turn struct {
	CID      string        `json:"cid"`
	Owner    string        `json:"owner"` // whose turn it is
	Priority string        `json:"priority"`
	Lane     string        `json:"lane"`
	Status   string        `json:"status"`
	Since    time.Time     `json:"since,omitzero"`
	Blocks   uint64        `json:"blocks"` // fetched so far, with what was here
	Bytes    uint64        `json:"bytes"`
	Size     uint64        `json:"size"`           // of the whole in bytes, 0: not known
	Rate     uint64        `json:"rate"`           // bytes a second, lately
	Left     time.Duration `json:"left,omitempty"` // in nanoseconds, at that rate; 0: not known
	Attempts int           `json:"attempts"`       // failed ones since the last success
	Retry    time.Time     `json:"retry_at,omitzero"`
	Error    string        `json:"error,omitempty"`
}

// LeftAt returns how long the rest takes at a rate of bytes a second, 0: not known.
func LeftAt(size, bytes, rate uint64) time.Duration {
	if rate == 0 || size <= bytes {
		return 0
	}
	return time.Duration(float64(size-bytes) / float64(rate) * float64(time.Second)).Round(time.Second)
}
