package dialect

import "github.com/pinfold/pinfold/pinset"

// Capacity is pinset.Capacity in JSON.
type Capacity struct {
	Members int          `json:"members"`
	Lent    uint64       `json:"lent"` // bytes
	Used    uint64       `json:"used"` // bytes
	Usable  []pinset.Fit `json:"usable"`
	Shared  [][]string   `json:"shared"` // members on one IPFS node; the one that counts first
}

// NewCapacity gives a capacity its JSON form.
func NewCapacity(c pinset.Capacity) Capacity {
	o := Capacity{Members: c.Members, Lent: c.Lent, Used: c.Used, Usable: c.Usable, Shared: [][]string{}}
	if o.Usable == nil {
		o.Usable = []pinset.Fit{}
	}
	for _, group := range c.Shared {
		o.Shared = append(o.Shared, encodePeers(group))
	}
	return o
}

// Value is the inverse of NewCapacity.
func (o Capacity) Value() (pinset.Capacity, error) {
	c := pinset.Capacity{Members: o.Members, Lent: o.Lent, Used: o.Used, Usable: o.Usable}
	for _, group := range o.Shared {
		ids, err := decodePeers(group)
		if err != nil {
			return c, pinset.Wrap(pinset.KindInternal, err, "read capacity")
		}
		c.Shared = append(c.Shared, ids)
	}
	return c, nil
}
