package allocation

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

var full = flag.Bool("full", false, "property tests at the size of the bars: a million items")

// amount is how much a test does: with -short, by itself, with -full.
func amount(short, usual, bar int) int {
	switch {
	case *full:
		return bar
	case testing.Short():
		return short
	}
	return usual
}

// dice is a small integer generator (splitmix64) whose numbers are the same on
// every CPU and in every version of Go.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	x := uint64(*d)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns 0..n-1.
func (d *dice) below(n int) int { return int(d.next() % uint64(n)) }

func (d *dice) chance(percent int) bool { return d.below(100) < percent }

// capacity is log-uniform from 10 GB to 20 TB, in MiB.
func (d *dice) capacity() uint64 {
	c := uint64(10_000_000_000>>20) << d.below(11)
	return min(c+d.next()%c, 20_000_000_000_000>>20)
}

// peerID returns an id in the form of those of Ed25519 keys.
func (d *dice) peerID() peer.ID {
	b := []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}
	for range 4 {
		b = binary.BigEndian.AppendUint64(b, d.next())
	}
	return peer.ID(b)
}

func (d *dice) hash() multihash.Multihash {
	b := []byte{0x12, 0x20}
	for range 4 {
		b = binary.BigEndian.AppendUint64(b, d.next())
	}
	return b
}

// sizes returns the bytes of at least so many items that make up a total: pins of
// log-normal size, those above 1 GiB cut into shards of 256 MiB.
func (d *dice) sizes(items int, total float64) []uint64 {
	raw, sum := make([]float64, items), 0.0
	for i := range raw {
		z := math.Sqrt(-2*math.Log(d.uniform())) * math.Cos(2*math.Pi*d.uniform())
		raw[i] = min(math.Exp(2.7*z), 250_000)
		sum += raw[i]
	}
	var out []uint64
	for _, r := range raw {
		size := max(1000, uint64(r/sum*total))
		for ; size > 1<<30; size -= 1 << 28 {
			out = append(out, 1<<28)
		}
		out = append(out, size)
	}
	return out
}

// uniform returns a number above 0 and below 1.
func (d *dice) uniform() float64 { return (float64(d.next()>>11) + 0.5) / (1 << 53) }

// plain returns active members in sites of 1 to 4, a few sites to a region.
func (d *dice) plain(n int) []Member {
	var out []Member
	for site := 0; len(out) < n; site++ {
		region := fmt.Sprintf("region-%d", d.below(1+n/8))
		for range 1 + d.below(4) {
			if len(out) < n {
				out = append(out, Member{
					ID: d.peerID(), Cap: d.capacity(), Phi: FullPhi,
					Domains: []string{region, fmt.Sprintf("site-%d", site)},
				})
			}
		}
	}
	return out
}

// sites is plain without the regions.
func (d *dice) sites(n int) []Member {
	out := d.plain(n)
	for i := range out {
		out[i].Domains = out[i].Domains[1:]
	}
	return out
}

// flat is plain without domains.
func (d *dice) flat(n int) []Member {
	out := d.plain(n)
	for i := range out {
		out[i].Domains = nil
	}
	return out
}

// motley returns members of every kind.
func (d *dice) motley(n int) []Member {
	out := d.plain(n)
	for i := range out {
		m := &out[i]
		m.Incarnation = uint64(d.below(3))
		for _, tag := range []string{"eu", "ssd", "ink & paper"} {
			if d.chance(50) {
				m.Tags = append(m.Tags, tag)
			}
		}
		if d.chance(25) {
			m.Phi = uint32(d.below(FullPhi + 1))
		}
		if d.chance(25) {
			m.InCap = uint64(1 + d.below(100_000))
		}
		if d.chance(25) {
			m.Domains = m.Domains[:d.below(2)]
		}
		if d.chance(10) {
			m.Mirror = true
		}
		if d.chance(20) {
			m.State = State(1 + d.below(2))
		}
		if d.chance(5) {
			m.Cap = uint64(d.below(3))
		}
	}
	return out
}

// regions returns members in sites of 1 to 4 in two regions, too few to keep three
// copies apart.
func (d *dice) regions(n int) []Member {
	out := d.plain(n)
	for i := range out {
		out[i].Domains[0] = []string{"east", "west"}[min(1, d.below(3))]
		out[i].Cap = 1<<20 + d.next()%(1<<20)
	}
	return out
}

// shares returns n chances below one that sum to r, roughly: of capacities with
// the certain ones made less so.
func (d *dice) shares(n, r int) []float64 {
	out := make([]float64, n)
	var sum float64
	for i := range out {
		out[i] = float64(d.capacity())
		sum += out[i]
	}
	for i := range out {
		out[i] = min(0.999, float64(float64(out[i]*float64(r))/sum))
	}
	return out
}

// item returns an item of any kind, for a cluster.
func (d *dice) item(members []Member) Item {
	it := Item{Hash: d.hash()}
	switch d.below(4) {
	case 0:
		it.Want = pinset.Replication{Min: 1 + d.below(3)}
		it.Want.Max = it.Want.Min + d.below(4)
	case 1:
		if d.chance(30) {
			it.Want = pinset.Replication{Min: pinset.Everywhere, Max: pinset.Everywhere}
		}
	}
	if d.chance(20) {
		it.Tags = []string{"ssd", "eu"}[:1+d.below(2)]
	}
	if d.chance(25) {
		for range 1 + d.below(3) {
			it.Include = append(it.Include, members[d.below(len(members))].ID)
		}
	}
	if d.chance(30) {
		it.Size = 1 << (20 + d.below(24))
	}
	return it
}

func shuffled(d *dice, in []Member) []Member {
	out := append([]Member(nil), in...)
	for i := len(out) - 1; i > 0; i-- {
		j := d.below(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}
