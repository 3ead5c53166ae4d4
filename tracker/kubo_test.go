package tracker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

const kuboTime = 30 * time.Second

// kuboRig is a tracker over a real Kubo, in real time.
type kuboRig struct {
	*rig
	kubo   *kubotest.Daemon
	client *ipfsclient.Client
	files  int
}

func newKuboRig(t *testing.T, change ...kubotest.Config) *kuboRig {
	k := &kuboRig{rig: newRig(t, self, other), kubo: kubotest.Start(t, change...)}
	client, err := ipfsclient.New(ipfsclient.Config{API: k.kubo.API})
	if err != nil {
		t.Fatal(err)
	}
	k.client = client
	k.deps = func(d *Deps) { d.Node = client }
	k.start()
	t.Cleanup(func() { k.stop() })
	return k
}

// add brings a new file in without a pin, as the IPFS node's owner.
func (k *kuboRig) add(text string) cid.Cid {
	k.t.Helper()
	k.files++
	at := filepath.Join(k.kubo.Repo, fmt.Sprintf("file-%d", k.files))
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	c, err := cid.Decode(strings.TrimSpace(k.kubo.Run("add", "--pin=false", "--cid-version=1", "-Q", at)))
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

func (k *kuboRig) pinned(c cid.Cid) string {
	p, err := k.client.PinOf(context.Background(), c)
	switch {
	case err == nil:
		return fmt.Sprintf("%s %s", p.Mode, p.Name)
	case pinset.KindOf(err) == pinset.KindNotFound:
		return ""
	}
	k.t.Fatal(err)
	return ""
}

func (k *kuboRig) awaitPinned(c cid.Cid, what, want string) {
	k.t.Helper()
	kubotest.Eventually(k.t, kuboTime, what, func() error {
		if got := k.pinned(c); got != want {
			return fmt.Errorf("pinned as %q, want %q", got, want)
		}
		return nil
	})
}

func (k *kuboRig) awaitStatus(c cid.Cid, what string, want pinset.Status) {
	k.t.Helper()
	kubotest.Eventually(k.t, kuboTime, what, func() error {
		if l := k.status(c); l.Status != want {
			return fmt.Errorf("%s (%s), want %s", l.Status, l.Error, want)
		}
		return nil
	})
}

// The owner pins and unpins, the cluster pins and unpins, in every order. His pin
// is there with its mode and its name whenever he did not remove it.
func TestKuboOwnersPinInEveryOrder(t *testing.T) {
	k := newKuboRig(t)
	for _, mode := range []string{"recursive", "direct"} {
		for _, order := range []string{"owner+ cluster+ cluster- owner-", "owner+ cluster+ owner- cluster-", "cluster+ owner+ cluster- owner-",
			"cluster+ owner+ owner- cluster-", "owner+ owner- cluster+ cluster-", "cluster+ cluster- owner+ owner-"} {
			if mode == "direct" && strings.HasPrefix(order, "cluster+ owner+") {
				continue // Kubo refuses that to him: it is pinned recursively
			}
			t.Run(mode+" "+order, func(t *testing.T) {
				c := k.add(mode + order)
				k.playOrder(t, c, mode, strings.Fields(order))
			})
		}
	}
}

func (k *kuboRig) playOrder(t *testing.T, c cid.Cid, mode string, order []string) {
	ours, mine := "recursive "+k.MarkName("ours"), mode+" mine"
	owner, cluster := false, false
	for i, step := range order {
		what := fmt.Sprintf("after %v", order[:i+1])
		switch step {
		case "owner+":
			owner = true
			k.kubo.Run("pin", "add", "--recursive="+fmt.Sprint(mode == "recursive"), "--name=mine", c.String())
		case "owner-":
			owner = false
			k.kubo.Run("pin", "rm", c.String())
		case "cluster+":
			cluster = true
			k.sets.pin(pinAt(c, "ours", self))
		case "cluster-":
			cluster = false
			k.sets.unpin(c, "")
		}
		if err := k.RecoverAll(t.Context()); err != nil { // a sweep, which else comes in an hour
			t.Fatal(err)
		}
		switch {
		case owner && cluster && mode == "direct":
			k.awaitStatus(c, what, pinset.StatusRefused)
		case cluster:
			k.awaitStatus(c, what, pinset.StatusPinned)
		default:
			k.awaitStatus(c, what, pinset.StatusUnpinned)
		}
		switch {
		case owner:
			k.awaitPinned(c, what, mine)
		case cluster:
			k.awaitPinned(c, what, ours)
		default:
			k.awaitPinned(c, what, "")
		}
	}
}

// M1 and M2 as they were seen with the incumbent.
func TestKuboM1M2UsersPins(t *testing.T) {
	k := newKuboRig(t)
	m1, m2, last := k.add("m1"), k.add("m2"), k.add("last")
	for _, c := range []cid.Cid{m1, m2} {
		k.kubo.Run("pin", "add", "--name=mine", c.String())
	}
	k.sets.pin(pinAt(m1, "theirs", other), pinAt(m2, "ours", self))
	k.awaitStatus(m2, "borrowed", pinset.StatusPinned)
	k.sets.unpin(m2, "")
	k.awaitStatus(m2, "unpinned in the cluster", pinset.StatusUnpinned)
	k.sets.pin(pinAt(last, "last", self)) // what came before it is done by then
	k.awaitStatus(last, "last", pinset.StatusPinned)
	k.awaitStatus(m1, "theirs", pinset.StatusRemote)
	for _, c := range []cid.Cid{m1, m2} {
		if got := k.pinned(c); got != "recursive mine" {
			t.Errorf("the user's pin is %q", got)
		}
	}
}

func TestKuboKilledAndBack(t *testing.T) {
	k := newKuboRig(t, kubotest.Unix(t)) // so that it comes back at its address
	c := k.add("some text")
	k.kubo.Kill()
	k.sets.pin(pinAt(c, "x", self))
	kubotest.Eventually(t, kuboTime, "the node is seen to be away", func() error {
		if h := k.Health(); len(h) == 0 || h[0].Code != "ipfs-away" {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
	if err := os.Remove(strings.TrimPrefix(k.kubo.API, "/unix")); err != nil { // a killed Kubo leaves its socket
		t.Fatal(err)
	}
	k.kubo.Start()
	k.awaitStatus(c, "caught up", pinset.StatusPinned)
	k.awaitPinned(c, "caught up", "recursive "+k.MarkName("x"))
	if l := k.status(c); l.Size == 0 {
		t.Errorf("no size: %+v", l)
	}
	if s := k.Stats(); s.Used == 0 {
		t.Errorf("stats %+v", s)
	}
}
