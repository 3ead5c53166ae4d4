package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

func dir(names ...string) files.Directory {
	m := map[string]files.Node{}
	for _, n := range names {
		m[n] = files.NewBytesFile([]byte("content of " + n))
	}
	return files.NewMapDirectory(m)
}

func nested() files.Directory {
	return files.NewMapDirectory(map[string]files.Node{"d": files.NewMapDirectory(map[string]files.Node{
		"a": files.NewBytesFile([]byte("1")), "b": files.NewBytesFile([]byte("2")),
	})})
}

func add(t *testing.T, p *rigPeer, d files.Directory, o pinset.AddOptions, template pinset.Pin) (out []pinset.Added, err error) {
	t.Helper()
	for e, err := range p.Add(t.Context(), d, o, template) {
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Before a root is told, its copy is protected and its pin durable, in this order.
func TestAddProtectsThenPinsThenTells(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[0]
	r.log.order = nil
	for e, err := range p.Add(t.Context(), dir("a"), pinset.AddOptions{}, pinset.Pin{Name: "n"}) {
		must(t, 0, err)
		if e.CID.Defined() {
			r.log.order = append(r.log.order, "tell")
			pin, err := p.PinOf(t.Context(), e.CID, "")
			if err != nil || pin.Name != "n" || pin.Size == 0 || pin.Mode != pinset.Recursive {
				t.Errorf("%+v, %v", pin, err)
			}
			if at, err := p.node.PinOf(t.Context(), e.CID); err != nil || at.Name != "mark n" {
				t.Errorf("at the node: %+v, %v", at, err)
			}
		}
	}
	if got := strings.Join(r.log.order, " "); got != "protect commit tell" {
		t.Errorf("order: %s", got)
	}
}

func TestAddPinsTheRootsOnly(t *testing.T) {
	for _, tc := range []struct {
		name string
		dir  files.Directory
		opts pinset.AddOptions
		pin  pinset.Pin
		want []string // names of the pins
	}{
		{"two files", dir("a", "b"), pinset.AddOptions{}, pinset.Pin{}, []string{"a", "b"}},
		{"two files, named", dir("a", "b"), pinset.AddOptions{}, pinset.Pin{Name: "n"}, []string{"n", "n"}},
		{"named by an option", dir("a"), pinset.AddOptions{Name: "o"}, pinset.Pin{}, []string{"o"}},
		{"without a name", files.NewSliceDirectory([]files.DirEntry{files.FileEntry("", files.NewBytesFile([]byte("stdin")))}), pinset.AddOptions{}, pinset.Pin{}, []string{""}},
		{"a directory", nested(), pinset.AddOptions{}, pinset.Pin{}, []string{"d"}},
		{"wrapped", dir("a", "b"), pinset.AddOptions{Wrap: true}, pinset.Pin{Name: "w"}, []string{"w"}},
		{"only hashed", dir("a"), pinset.AddOptions{OnlyHash: true}, pinset.Pin{}, nil},
	} {
		r := newRig(t, 1)
		p := r.peers[0]
		if _, err := add(t, p, tc.dir, tc.opts, tc.pin); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		var names []string
		for pin, err := range p.Pins(t.Context()) {
			must(t, 0, err)
			names = append(names, pin.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, tc.want) || len(p.tracker.protected) != len(tc.want) {
			t.Errorf("%s: pins %q, %d protected, want %q", tc.name, names, len(p.tracker.protected), tc.want)
		}
	}
}

// Many small files share deltas, and all are told in the order they came.
func TestAddGroupsManyRoots(t *testing.T) {
	r := newRig(t, 1)
	p := r.peers[0]
	p.cfg.Now = func() time.Time { return time.Unix(1e9, 0) } // no group ends for its time
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("f%04d", i))
	}
	before := len(r.log.commits)
	out, err := add(t, p, dir(names...), pinset.AddOptions{}, pinset.Pin{})
	must(t, 0, err)
	var told []string
	for _, e := range out {
		if e.CID.Defined() {
			told = append(told, e.Path)
		}
	}
	slices.Sort(told)
	if n := len(r.log.commits) - before; n != 4 || !slices.Equal(told, names) {
		t.Errorf("%d deltas, %d told", n, len(told))
	}
}

// A root that is not safe is not told.
func TestAddTellsNoRootThatIsNotSafe(t *testing.T) {
	full := pinset.Errorf(pinset.KindRefused, "over the lent disk")
	for _, tc := range []struct {
		name string
		do   func(r *rig)
		kind pinset.Kind
	}{
		{"not protected", func(r *rig) { r.peers[0].tracker.fail = full }, pinset.KindRefused},
		{"not committed", func(r *rig) { r.log.fail = pinset.Errorf(pinset.KindUnavailable, "disk full") }, pinset.KindUnavailable},
		{"not imported", func(r *rig) {
			r.peers[0].node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Fail(pinset.Errorf(pinset.KindUnavailable, "away")), ipfsclienttest.OpAdd)})
		}, pinset.KindUnavailable},
		{"a keeper", func(r *rig) { r.setRole(0, identity.RoleKeeper) }, pinset.KindForbidden},
	} {
		r := newRig(t, 1)
		tc.do(r)
		out, err := add(t, r.peers[0], dir("a"), pinset.AddOptions{}, pinset.Pin{})
		if pinset.KindOf(err) != tc.kind {
			t.Errorf("%s: %v", tc.name, err)
		}
		for _, e := range out {
			if e.CID.Defined() {
				t.Errorf("%s: told %s", tc.name, e.CID)
			}
		}
	}
}

func TestAddChecksTheTemplateFirst(t *testing.T) {
	r := newRig(t, 1)
	for name, template := range map[string]pinset.Pin{
		"tag":        {Tags: []string{"a b"}},
		"past":       {ExpireAt: time.Now().Add(-time.Hour)},
		"stranger":   {Include: []peer.ID{peer.ID("x")}},
		"long owner": {Owner: strings.Repeat("o", 65)},
	} {
		if _, err := add(t, r.peers[0], dir("a"), pinset.AddOptions{}, template); pinset.KindOf(err) != pinset.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := r.peers[0].node.Calls(ipfsclienttest.OpAdd); n != 0 {
		t.Errorf("%d adds began", n)
	}
}

// Measuring must not hold up adding: who does not answer in time leaves the size
// open.
func TestAddDoesNotWaitForTheSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.peers[0]
		p.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Hang, ipfsclienttest.OpDAGSize)})
		began := time.Now()
		out, err := add(t, p, dir("a"), pinset.AddOptions{}, pinset.Pin{})
		must(t, 0, err)
		if took := time.Since(began); took > 200*time.Millisecond || len(out) == 0 {
			t.Errorf("took %s", took)
		}
		for pin := range p.Pins(t.Context()) {
			if pin.Size != 0 {
				t.Errorf("size %d", pin.Size)
			}
		}
	})
}

func TestReadingConnectsTheHolders(t *testing.T) {
	r := newRig(t, 4)
	p := r.peers[1]
	out, err := add(t, p, nested(), pinset.AddOptions{}, pinset.Pin{Replication: pinset.Replication{Min: 1, Max: 1}, Include: []peer.ID{r.ids.ID(1)}})
	must(t, out, err)
	var root, child string
	for _, e := range out {
		switch e.Path {
		case "d":
			root = "/ipfs/" + e.CID.String()
		case "d/a":
			child = "/ipfs/" + e.CID.String()
		}
	}
	for name, path := range map[string]string{"a file in it": root + "/a", "a file without a pin": child} {
		reader := r.open(0, r.peers[0].store)
		r.peers[0] = reader
		node, err := reader.Open(t.Context(), path)
		if err != nil {
			t.Fatal(name, err)
		}
		b, err := io.ReadAll(node.(files.File))
		if err != nil || string(b) != "1" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		reader.endBesides()
	}
	reader := r.open(2, r.peers[2].store)
	r.peers[2] = reader
	var names []string
	for l, err := range reader.List(t.Context(), root) {
		must(t, 0, err)
		names = append(names, l.Name)
	}
	if strings.Join(names, " ") != "a b" {
		t.Errorf("listed %q", names)
	}
}

func TestReadingWhatIsHereAsksNobody(t *testing.T) {
	r := newRig(t, 3)
	p := r.peers[0]
	out, err := add(t, p, dir("a"), pinset.AddOptions{}, pinset.Pin{})
	must(t, out, err)
	c := out[len(out)-1].CID
	p.tracker.set(pinset.Local{CID: c, Status: pinset.StatusPinned})
	must2(p.Open(t.Context(), "/ipfs/"+c.String()))
	p.endBesides()
	if p.net.asked != 0 {
		t.Errorf("%d asked", p.net.asked)
	}
}

// Connecting is bounded and remembered: a member is asked for its addresses once
// in a while, and what it told survives a restart, when it is away.
func TestConnectHoldersRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		p := r.peers[0]
		ids := []peer.ID{r.ids.ID(0), r.ids.ID(1), r.ids.ID(2)}
		connect := func(wantAsked, wantConnects int, when string) {
			t.Helper()
			asked, connects := p.net.asked, p.node.Calls(ipfsclienttest.OpConnect)
			p.connectAll(t.Context(), p.net, p.sources(t.Context(), cidN(1), p.net, ids))
			if a, c := p.net.asked-asked, p.node.Calls(ipfsclienttest.OpConnect)-connects; a != wantAsked || c != wantConnects {
				t.Errorf("%s: %d asked, %d connected, want %d, %d", when, a, c, wantAsked, wantConnects)
			}
		}
		connect(2, 2, "at first")
		connect(0, 0, "at once again")
		time.Sleep(connectAgain / 2)
		connect(0, 0, "a moment later")
		time.Sleep(2 * time.Minute)
		connect(0, 2, "later")
		time.Sleep(20 * time.Minute)
		connect(2, 2, "much later")
		r.split(1)
		r.peers[0] = r.open(0, p.store)
		p = r.peers[0]
		connect(2, 2, "after a restart, one away: by what it told before")
		p.net.faults[2] = hang
		time.Sleep(20 * time.Minute)
		began := time.Now()
		connect(2, 2, "one hangs")
		if took := time.Since(began); took > p.cfg.AskTime {
			t.Errorf("took %s", took)
		}
		p.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Hang, ipfsclienttest.OpConnect)})
		time.Sleep(20 * time.Minute)
		began = time.Now()
		p.connectAll(t.Context(), p.net, p.sources(t.Context(), cidN(1), p.net, ids))
		if took := time.Since(began); took > p.cfg.AskTime+p.cfg.NodeTime {
			t.Errorf("the IPFS node hangs: took %s", took)
		}
	})
}

func TestConnectHoldersUsesTheOrigins(t *testing.T) {
	r := newRig(t, 1)
	one, two := r.world.Node(), r.world.Node()
	second := strings.Replace(one.Address(), "/p2p/", "/tcp/7/p2p/", 1)
	r.peers[0].pin(pinset.Pin{CID: cidN(1), Origins: []string{one.Address(), two.Address(), one.Address()}})
	r.peers[0].pin(pinset.Pin{CID: cidN(1), Owner: "alice", Origins: []string{second}})
	r.peers[0].connectOrigins(t.Context(), cidN(1))
	if n := r.peers[0].node.Calls(ipfsclienttest.OpConnect); n != 2 { // one for each peer
		t.Errorf("%d connections", n)
	}
}

// A holder that could not be asked when the fetch began is connected when it can.
func TestConnectHoldersGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		p := r.peers[0]
		p.net.set(1, hang)
		ctx, cancel := context.WithCancel(t.Context())
		var beside sync.WaitGroup
		beside.Go(func() { p.ConnectHolders(ctx, cidN(1), []peer.ID{r.ids.ID(1)}) })
		time.Sleep(time.Minute)
		if n := p.node.Calls(ipfsclienttest.OpConnect); n != 0 {
			t.Fatalf("%d connections to who does not answer", n)
		}
		p.net.set(1, nil)
		time.Sleep(p.cfg.AskTime + 2*connectRetry)
		if n := p.node.Calls(ipfsclienttest.OpConnect); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		cancel()
		beside.Wait()
	})
}

// A holder that was killed and came back at another address, which it had no time
// to say, is asked for it and connected, long before what it told before is old.
func TestConnectHoldersFollowsWhoMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		p := r.peers[0]
		ctx, cancel := context.WithCancel(t.Context())
		var beside sync.WaitGroup
		beside.Go(func() { p.ConnectHolders(ctx, cidN(1), []peer.ID{r.ids.ID(1)}) })
		defer beside.Wait()
		defer cancel()
		time.Sleep(time.Second)
		p.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Refuse, ipfsclienttest.OpConnect)})
		asked := p.net.questions()
		time.Sleep(connectAgain + 3*connectRetry)
		if n := p.net.questions() - asked; n == 0 {
			t.Error("not asked where its IPFS node is now")
		}
		p.node.Break(ipfsclienttest.Faults{})
		connects := p.node.Calls(ipfsclienttest.OpConnect)
		time.Sleep(2 * connectRetry)
		if n := p.node.Calls(ipfsclienttest.OpConnect) - connects; n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// Added data lies at its author, who need not be a holder, and then at whoever can
// be reached.
func TestConnectHoldersTriesTheAuthorToo(t *testing.T) {
	r := newRig(t, 4)
	r.peers[3].pin(pinset.Pin{CID: cidN(1)})
	for _, s := range []struct {
		name string
		cut  []int
		cid  int
		want int
	}{
		{"the author and the others", nil, 1, 3},
		{"nobody pinned it", nil, 2, 3},
	} {
		p := r.open(0, newRig(t, 1).peers[0].store)
		r.peers[0] = p
		p.connectAll(t.Context(), p.net, p.sources(t.Context(), cidN(s.cid), p.net, nil))
		if n := p.net.asked; n != s.want {
			t.Errorf("%s: %d asked, want %d", s.name, n, s.want)
		}
	}
	far := newRigWith(t, 40, identity.DefaultPolicy(), nil)
	far.peers[39].pin(pinset.Pin{CID: cidN(1)})
	p := far.peers[0]
	p.connectAll(t.Context(), p.net, p.sources(t.Context(), cidN(1), p.net, nil))
	if p.net.asked != likelyPeers || p.contacts.Get(far.ids.ID(39)).Connected.IsZero() {
		t.Errorf("of 40 members %d asked, the author connected at %s", p.net.asked, p.contacts.Get(far.ids.ID(39)).Connected)
	}
}

// A peer that is not joined to a network yet answers and connects nothing.
func TestMembersBeforeNew(t *testing.T) {
	r := newRig(t, 1)
	m, err := OpenMembers(t.Context(), r.peers[0].cfg, r.peers[0].base)
	must(t, m, err)
	m.ConnectHolders(t.Context(), cidN(1), []peer.ID{r.ids.ID(0)})
	q := []byte{0xa1, 0x61, 0x71, 0x65, 'a', 'b', 'o', 'u', 't'}
	err = m.Answer(t.Context(), r.ids.ID(0), q, func([]byte) error { return errors.New("answered") })
	if err == nil || !strings.Contains(err.Error(), "starting") {
		t.Errorf("got %v", err)
	}
}

// What runs beside a request ends with the cluster.
func TestRunEndsWhatRunsBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.peers[0]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		ended := false
		p.beside(t.Context(), func(ctx context.Context) { <-ctx.Done(); ended = true })
		synctest.Wait()
		cancel()
		if err := <-done; err != nil || !ended {
			t.Errorf("%v, ended %v", err, ended)
		}
		p.beside(t.Context(), func(context.Context) { t.Error("began after the end") })
	})
}
