package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Action is what a step does.
type Action uint8

const (
	Pin     Action = iota // Peer pins item Key
	Unpin                 // Peer unpins item Key
	Burst                 // Peer pins Count items at once, from Key on
	Cut                   // the cables become Shape
	Heal                  // all cables are whole
	Crash                 // Peer's power goes
	Dying                 // as Crash, in the middle of a Burst
	Restart               // Peer comes back with what its disk had
	Join                  // Peer starts with an invite that names Sponsor
	Expel                 // the founder removes Peer, which is stopped for good
	Leave                 // Peer removes itself, and stops for good
	Pass                  // nothing
	Compact               // Peer asks for a new epoch
)

var actionNames = [...]string{"pin", "unpin", "burst", "cut", "heal", "crash", "dying", "restart", "join", "expel", "leave", "pass", "compact"}

// Step is one thing that happens, and the time until the next.
type Step struct {
	Do      Action
	Peer    int
	Key     int
	Count   int
	Sponsor int
	Shape   Shape
	Wait    time.Duration
}

func (s Step) String() string {
	text := actionNames[s.Do]
	switch s.Do {
	case Pin, Unpin:
		text += fmt.Sprintf(" peer=%d key=%d", s.Peer, s.Key)
	case Burst, Dying:
		text += fmt.Sprintf(" peer=%d key=%d count=%d", s.Peer, s.Key, s.Count)
	case Cut:
		text += " " + s.Shape.String()
	case Crash, Restart, Expel, Leave, Compact:
		text += fmt.Sprintf(" peer=%d", s.Peer)
	case Join:
		text += fmt.Sprintf(" peer=%d sponsor=%d", s.Peer, s.Sponsor)
	}
	return text + " wait=" + s.Wait.String()
}

// Shape says which pairs of hosts have a cable: row b, column a < b.
type Shape [][]bool

// Cable says whether two hosts have one.
func (s Shape) Cable(a, b int) bool { return s[max(a, b)][min(a, b)] }

func (s Shape) String() string {
	rows := make([]string, len(s))
	for i, row := range s {
		for _, c := range row {
			rows[i] += map[bool]string{true: "+", false: "."}[c]
		}
	}
	return strings.Join(rows[1:], "/")
}

// Scenario is a seeded run.
type Scenario struct {
	Seed   uint64
	Peers  int // in the end; the last Late of them join on the way
	Late   int
	Keys   int
	Delay  time.Duration // of a packet, one way
	Stores []string      // of each peer: crdtstate.Config.Store
	Steps  []Step
}

// NewScenario makes the seed's scenario. It is the same in every run.
func NewScenario(seed uint64) Scenario {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 1)), out: -1}
	s := Scenario{Seed: seed, Peers: 6, Late: g.IntN(3), Keys: 12, Delay: time.Duration(1+g.IntN(120)) * time.Millisecond}
	up := make([]bool, s.Peers)
	for i := range s.Peers - s.Late {
		up[i] = true
	}
	joined := s.Peers - s.Late
	for range 15 + g.IntN(25) {
		step := g.step(up, joined, s.Keys)
		switch step.Do {
		case Join:
			joined++
		case Expel, Leave:
			g.out = step.Peer
		}
		s.Steps = append(s.Steps, step)
	}
	s.Stores = stores(g, s)
	return s
}

// WithEpochs returns the scenario with epochs: peers ask for one now and then.
func (s Scenario) WithEpochs() Scenario {
	rng := rand.New(rand.NewPCG(s.Seed, 2))
	var steps []Step
	for _, step := range s.Steps {
		steps = append(steps, step)
		if rng.IntN(3) == 0 {
			steps = append(steps, Step{Do: Compact, Peer: rng.IntN(s.Peers - s.Late), Wait: time.Duration(rng.IntN(20)) * time.Second})
		}
	}
	s.Steps = steps
	return s
}

// stores gives those peers a disk that crash; the others live in memory.
func stores(g generator, s Scenario) []string {
	out := make([]string, s.Peers)
	for i := range out {
		out[i] = "memory"
	}
	for _, step := range s.Steps {
		if (step.Do == Crash || step.Do == Dying) && out[step.Peer] == "memory" {
			out[step.Peer] = []string{"badger", "pebble"}[g.IntN(2)]
		}
	}
	return out
}

type generator struct {
	*rand.Rand
	out int // who is no member any more, -1: nobody yet
}

// step draws the next step and keeps up who runs.
func (g generator) step(up []bool, joined, keys int) Step {
	s := Step{Wait: g.wait(), Key: g.IntN(keys)}
	running, down := filter(up[:joined], true), filter(up[:joined], false)
	down = slices.DeleteFunc(down, func(i int) bool { return i == g.out })
	s.Peer = running[g.IntN(len(running))]
	switch n := g.IntN(100); {
	case n < 30:
		s.Do = Pin
	case n < 48:
		s.Do = Unpin
	case n < 58:
		s.Do, s.Count = Burst, 2+g.IntN(40)
	case n < 75:
		s.Do, s.Shape = Cut, g.shape(len(up))
	case n < 80:
		s.Do = Heal
	case n < 87 && len(running) > 2:
		s.Do = Crash
		if g.IntN(2) == 0 {
			s.Do, s.Count = Dying, 2+g.IntN(10)
		}
		up[s.Peer] = false
	case n < 94 && len(down) > 0:
		s.Do, s.Peer = Restart, down[g.IntN(len(down))]
		up[s.Peer] = true
	case n < 95 && g.out < 0 && s.Peer > 0 && len(running) > 3:
		s.Do = []Action{Expel, Leave}[g.IntN(2)]
		if up[s.Peer] = false; !up[0] {
			s.Do = Leave
		}
	case n < 98 && joined < len(up):
		s.Do, s.Peer, s.Sponsor = Join, joined, running[g.IntN(len(running))]
		up[joined] = true
	default:
		s.Do = Pass
	}
	return s
}

func filter(up []bool, want bool) []int {
	var out []int
	for i, u := range up {
		if u == want {
			out = append(out, i)
		}
	}
	return out
}

// wait is mostly short, sometimes long enough for connections to die.
func (g generator) wait() time.Duration {
	switch g.IntN(8) {
	case 0:
		return 0
	case 1, 2:
		return time.Duration(g.IntN(100)) * time.Millisecond
	case 3, 4:
		return time.Duration(g.IntN(5000)) * time.Millisecond
	case 5, 6:
		return time.Duration(g.IntN(40)) * time.Second
	default:
		return time.Duration(60+g.IntN(240)) * time.Second
	}
}

// shape draws a split: sides, one alone, two sides with a bridge, or any graph.
func (g generator) shape(hosts int) Shape {
	side := make([]int, hosts)
	sides := 2 + g.IntN(2)
	for i := range side {
		side[i] = g.IntN(sides)
	}
	lonely, bridge, density := g.IntN(hosts), -1, 0
	kind := g.IntN(4)
	if kind == 2 {
		bridge = g.IntN(hosts)
	}
	if kind == 3 {
		density = 10 + g.IntN(70)
	}
	shape := make(Shape, hosts)
	for b := range shape {
		shape[b] = make([]bool, b)
		for a := range b {
			switch kind {
			case 1:
				shape[b][a] = a != lonely && b != lonely
			case 3:
				shape[b][a] = g.IntN(100) < density
			default:
				shape[b][a] = side[a] == side[b] || a == bridge || b == bridge
			}
		}
	}
	return shape
}
