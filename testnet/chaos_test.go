package testnet_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/testnet"
)

var (
	chaosPins = flag.Int("chaos.pins", 90, "pins of TestKillsWhilePinning; the bar is 10000")
	chaosSeed = flag.Uint64("chaos.seed", 1, "what is killed, and when")
	chaosCalm = flag.Bool("chaos.calm", false, "kill nothing: how fast is it?")
)

// chaos is three pinfolds over three Kubos, both of which are killed.
type chaos struct {
	t     *testing.T
	net   *testnet.Network
	kubos []*kubotest.Daemon
	nodes []*ipfsclient.Client
	cids  []cid.Cid
	mine  []map[cid.Cid]pinset.NodePin // of each node, what its owner pinned, and Kubo itself

	acknowledged atomic.Int64
}

// TestKillsWhilePinning: small files are pinned at all of three members, whose Kubos
// and pinfolds are killed at random meanwhile. In the end all is pinned everywhere
// under our mark, once, and what the nodes' owners pinned is as they left it.
func TestKillsWhilePinning(t *testing.T) {
	if testing.Short() {
		t.Skip("real Kubos: left out by -short")
	}
	c := &chaos{t: t}
	var apis []string
	for range 3 {
		k := kubotest.Start(t, kubotest.Unix(t)) // so that it comes back at its address
		node, err := ipfsclient.New(ipfsclient.Config{API: k.API})
		if err != nil {
			t.Fatal(err)
		}
		c.kubos, c.nodes, apis = append(c.kubos, k), append(c.nodes, node), append(apis, k.API)
	}
	c.net = start(t, testnet.Options{Peers: 3, APIs: apis})
	c.bringIn()
	c.ownersPin()
	began := time.Now()
	c.pinAll()
	c.awaitCopies()
	t.Logf("%d pins, three copies each: %.1f pins/s", len(c.cids), float64(len(c.cids))/time.Since(began).Seconds())
	for i := range c.nodes {
		c.checkNode(i)
	}
}

// bringIn puts a third of the files into each Kubo, unpinned.
func (c *chaos) bringIn() {
	c.cids = make([]cid.Cid, *chaosPins)
	for n, node := range c.nodes {
		var entries []files.DirEntry
		for i := n; i < len(c.cids); i += len(c.nodes) {
			entries = append(entries, files.FileEntry(fmt.Sprint(i), files.NewBytesFile(blob(i, 1000))))
		}
		for a, err := range node.Add(c.t.Context(), files.NewSliceDirectory(entries), pinset.AddOptions{CIDVersion: 1}, "") {
			if err != nil {
				c.t.Fatal(err)
			}
			var i int
			if _, err := fmt.Sscan(a.Path, &i); err != nil || !a.CID.Defined() {
				c.t.Fatalf("%+v: %v", a, err)
			}
			c.cids[i] = a.CID
		}
	}
}

// ownersPin has each node's owner pin some of the files there.
func (c *chaos) ownersPin() {
	c.mine = make([]map[cid.Cid]pinset.NodePin, len(c.nodes))
	for n, node := range c.nodes {
		c.mine[n] = map[cid.Cid]pinset.NodePin{}
		for p, err := range node.Pins(c.t.Context()) {
			if err != nil {
				c.t.Fatal(err)
			}
			c.mine[n][p.CID] = p
		}
		for i := n; i < len(c.cids); i += 9 {
			p := pinset.NodePin{CID: c.cids[i], Name: fmt.Sprintf("mine %d", i)}
			if err := node.Pin(c.t.Context(), p.CID, pinset.PinOptions{Name: p.Name}); err != nil {
				c.t.Fatal(err)
			}
			c.mine[n][p.CID] = p
		}
	}
}

// pinAll pins everything, through whichever peer answers, while some are killed.
func (c *chaos) pinAll() {
	ctx, stop := context.WithCancel(c.t.Context())
	defer stop()
	work := make(chan cid.Cid)
	var pinners sync.WaitGroup
	for w := range 8 {
		pinners.Go(func() {
			for k := range work {
				c.pin(ctx, w, k)
			}
		})
	}
	rnd := rand.New(rand.NewPCG(*chaosSeed, 0))
	step := max(1, min(len(c.cids)/9, 300))
	for i, k := range c.cids {
		if i%step == step-1 && !*chaosCalm {
			c.kill(rnd.IntN(2 * len(c.kubos)))
		}
		work <- k
	}
	close(work)
	pinners.Wait()
}

func (c *chaos) pin(ctx context.Context, w int, k cid.Cid) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		w++
		call, end := context.WithTimeout(ctx, 10*time.Second)
		_, _, err := c.net.Peers()[w%len(c.net.Peers())].Client().Pin(call, pinset.Pin{CID: k, Name: "chaos", Replication: pinset.Replication{Min: 3, Max: 3}}, client.Wait{})
		end()
		if err == nil {
			c.acknowledged.Add(1)
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			c.t.Errorf("no peer takes the pin of %s: %v", k, err)
			return
		}
	}
}

// kill kills a Kubo or a pinfold, and starts it again.
func (c *chaos) kill(which int) {
	c.t.Helper()
	n := which / 2
	if which%2 == 0 {
		c.t.Logf("after %d pins Kubo %d is killed", c.acknowledged.Load(), n+1)
		k := c.kubos[n]
		k.Kill()
		os.Remove(strings.TrimPrefix(k.API, "/unix")) // a killed Kubo leaves its socket
		k.Start()
		return
	}
	c.t.Logf("after %d pins pinfold %d is killed", c.acknowledged.Load(), n+1)
	p := c.net.Peers()[n]
	if err := p.Kill(); err != nil {
		c.t.Fatal(err)
	}
	if err := p.Start(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// awaitCopies waits until every pin has its three copies, by the members' own words
// and those of the Kubos.
func (c *chaos) awaitCopies() {
	within := patience + time.Duration(len(c.cids))*200*time.Millisecond
	kubotest.Eventually(c.t, within, "all has three copies", func() error {
		for n, node := range c.nodes {
			have := 0
			for p, err := range node.Pins(c.t.Context()) {
				if err != nil {
					return err
				}
				if p.Mode == pinset.Recursive {
					have++
				}
			}
			if have < len(c.cids) {
				return fmt.Errorf("Kubo %d has %d of %d", n+1, have, len(c.cids))
			}
		}
		for s, err := range c.net.Peers()[0].Client().StatusAll(c.t.Context(), client.StatusOptions{}) {
			if err != nil {
				return err
			}
			if s.Copies != 3 || s.Short > 0 {
				return fmt.Errorf("%s: %d copies, %+v", s.CID, s.Copies, s.Holdings)
			}
		}
		return nil
	})
}

// checkNode compares what is pinned at a Kubo with what must be.
func (c *chaos) checkNode(n int) {
	marked := map[cid.Cid]int{}
	mine := map[cid.Cid]pinset.NodePin{}
	for p, err := range c.nodes[n].Pins(c.t.Context()) {
		if err != nil {
			c.t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(p.Name, "pinfold:") && p.Mode == pinset.Recursive && strings.HasSuffix(p.Name, " chaos"):
			marked[p.CID]++
		default:
			if _, twice := mine[p.CID]; twice {
				c.t.Errorf("Kubo %d: twice: %+v", n+1, p)
			}
			mine[p.CID] = p
		}
	}
	if !maps.Equal(mine, c.mine[n]) {
		c.t.Errorf("Kubo %d: what its owner pinned is %v, want %v", n+1, mine, c.mine[n])
	}
	for _, k := range c.cids {
		want := 1
		if _, owned := c.mine[n][k]; owned {
			want = 0 // that pin serves us
		}
		if marked[k] != want {
			c.t.Errorf("Kubo %d: %s is pinned by us %d times, want %d", n+1, k, marked[k], want)
		}
		delete(marked, k)
	}
	if len(marked) > 0 {
		c.t.Errorf("Kubo %d: pinned by us, and nobody asked for it: %v", n+1, marked)
	}
}
