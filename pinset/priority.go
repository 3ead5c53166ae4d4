package pinset

// Priority says which pins a member fetches first. It has no part in who holds what.
type Priority uint8

const (
	PriorityNormal Priority = iota
	PriorityHigh            // before all others
	PriorityBulk            // when nothing else is to be fetched, and now and then
)

func (p Priority) String() string {
	switch p {
	case PriorityHigh:
		return "high"
	case PriorityBulk:
		return "bulk"
	}
	return "normal"
}

// ParsePriority reads what String wrote; "" is normal.
func ParsePriority(s string) (Priority, error) {
	for _, p := range []Priority{PriorityNormal, PriorityHigh, PriorityBulk} {
		if s == p.String() {
			return p, nil
		}
	}
	if s == "" {
		return PriorityNormal, nil
	}
	return 0, Invalid("priority %q: want high, normal or bulk", s)
}

// Before says whether p goes first.
func (p Priority) Before(other Priority) bool { return p.rank() < other.rank() }

func (p Priority) rank() int {
	switch p {
	case PriorityHigh:
		return 0
	case PriorityBulk:
		return 2
	}
	return 1
}
