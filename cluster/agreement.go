package cluster

import (
	"context"

	"github.com/pinfold/pinfold/cluster/internal/sides"
	"github.com/pinfold/pinfold/pinset"
)

// Agreement tells how far the members agree on the pinset, in which sides they
// stand where they do not, and what each side lacks.
func (c *Cluster) Agreement(ctx context.Context) (pinset.Agreement, error) {
	here, words := c.words()
	out := here.Agreement(words)
	states := c.states()
	for _, s := range states { // also of who is no member here yet: nobody is, while a peer joins
		if s.Sync != "" {
			out.Sync = s.Sync
		}
	}
	for i, w := range words {
		s := states[w.Peer]
		if w.Peer == c.self || s.LastHeard.IsZero() || s.Digest == here.Digest {
			continue
		}
		words[i].Lacks = c.behind(w.Peer, false)
		for _, head := range s.Heads {
			known, err := c.base.State.Known(ctx, head)
			if err != nil {
				return out, err
			}
			if !known {
				words[i].Unknown++
			}
		}
	}
	out.Sides = here.Sides(words, c.sides.Since)
	return out, nil
}

func (c *Cluster) agreement() pinset.Agreement {
	here, words := c.words()
	return here.Agreement(words)
}

// words is what the members said last, and what is here.
func (c *Cluster) words() (sides.Here, []sides.Word) {
	sum, states := c.base.State.Summary(), c.states()
	var out []sides.Word
	for _, m := range c.base.State.Authority().Members() {
		s := states[m.Peer]
		out = append(out, sides.Word{Peer: m.Peer, Heard: s.LastHeard, Digest: s.Digest, Count: s.Count})
	}
	return sides.Here{Self: c.self, Digest: sum.Digest, Count: sum.Count, Now: c.cfg.Now(), Lately: c.cfg.Lately}, out
}

func (c *Cluster) noteAnnals(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.annalsErr = err
}
