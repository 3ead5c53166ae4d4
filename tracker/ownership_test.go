package tracker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// ownership is one row of the matrix: what the node's owner and the cluster do, in
// what order, and what of the pins is at the node after each step. The owner pins
// under the name mine, the cluster under ours. Steps: owner+, owner- (of the CID as
// the owner spells it), cluster+, cluster-.
type ownership struct {
	name   string
	mode   string // of the owner's pin
	wants  string // mode of the cluster's pin
	ownV0  bool   // the owner spells the CID in version 0, the cluster in version 1
	steps  string
	states []string // of the owner's spelling, and where it is another, of the cluster's
}

func ownerships() []ownership {
	return []ownership{
		{"before", "recursive", "recursive", false, "owner+ cluster+ cluster- owner-", []string{"mine", "mine", "mine", ""}},
		{"before, and gone while we need it", "recursive", "recursive", false, "owner+ cluster+ owner- cluster-", []string{"mine", "mine", "ours", ""}},
		{"during", "recursive", "recursive", false, "cluster+ owner+ cluster- owner-", []string{"ours", "mine", "mine", ""}},
		{"during, and gone while we need it", "recursive", "recursive", false, "cluster+ owner+ owner- cluster-", []string{"ours", "mine", "ours", ""}},
		{"after", "recursive", "recursive", false, "cluster+ cluster- owner+ owner-", []string{"ours", "", "mine", ""}},
		{"direct, before", "direct", "recursive", false, "owner+ cluster+ cluster- owner-", []string{"mine", "mine", "mine", ""}},
		{"direct, and makes way", "direct", "recursive", false, "owner+ cluster+ owner- cluster-", []string{"mine", "mine", "ours", ""}},
		{"direct is enough for direct", "direct", "direct", false, "owner+ cluster+ owner- cluster-", []string{"mine", "mine", "ours", ""}},
		{"recursive is more than direct", "recursive", "direct", false, "owner+ cluster+ owner- cluster-", []string{"mine", "mine", "ours", ""}},
		{"recursive over our direct", "recursive", "direct", false, "cluster+ owner+ cluster- owner-", []string{"ours", "mine", "mine", ""}},
		{"spelled otherwise, before", "recursive", "recursive", true, "owner+ cluster+ cluster- owner-", []string{"mine ", "mine ours", "mine ", " "}},
		{"spelled otherwise, during", "recursive", "recursive", true, "cluster+ owner+ owner- cluster-", []string{" ours", "mine ours", " ours", " "}},
		{"spelled otherwise, direct", "direct", "recursive", true, "owner+ cluster+ cluster- owner-", []string{"mine ", "mine ours", "mine ", " "}},
	}
}

// stage is a node on which a row is played.
type stage interface {
	owner(step string, c cid.Cid, mode pinset.Mode)
	cluster(p pinset.Pin, on bool)
	// show waits until both spellings are pinned so: "", "mine" or "ours", with a mode.
	show(what string, want map[cid.Cid]string)
}

func (o ownership) play(t *testing.T, s stage, c cid.Cid) {
	theirs := c
	if o.ownV0 {
		theirs = cid.NewCidV0(c.Hash())
	}
	own, _ := pinset.ParseMode(o.mode)
	p := pinAt(c, "ours", self)
	p.Mode, _ = pinset.ParseMode(o.wants)
	steps := strings.Fields(o.steps)
	for i, step := range steps {
		switch step {
		case "owner+", "owner-":
			s.owner(step, theirs, own)
		case "cluster+", "cluster-":
			s.cluster(p, step == "cluster+")
		}
		want := map[cid.Cid]string{}
		at, ours, two := strings.Cut(o.states[i], " ")
		want[theirs] = at
		if two {
			want[c] = ours
		}
		for k, who := range want {
			switch who {
			case "mine":
				want[k] = own.String() + " mine"
			case "ours":
				want[k] = p.Mode.String() + " " + marker(testMark).name("ours")
			}
		}
		s.show(fmt.Sprintf("%s: after %v", o.name, steps[:i+1]), want)
	}
}

func TestOwnershipMatrix(t *testing.T) {
	for _, o := range ownerships() {
		t.Run(o.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t).start()
				defer r.stop()
				o.play(t, fakeStage{r}, cid.NewCidV1(cid.DagProtobuf, testCID(1).Hash()))
			})
		})
	}
}

type fakeStage struct{ *rig }

func (s fakeStage) owner(step string, c cid.Cid, mode pinset.Mode) {
	if step == "owner+" {
		s.ownerPins(c, mode, "mine")
	} else {
		s.node.Forget(c)
	}
}

func (s fakeStage) cluster(p pinset.Pin, on bool) {
	if on {
		s.sets.pin(p)
	} else {
		s.sets.unpin(p.CID, p.Owner)
	}
}

func (s fakeStage) show(what string, want map[cid.Cid]string) {
	s.t.Helper()
	settle(3 * time.Hour) // sweeps, and what is refused is tried again
	for c, w := range want {
		if got := s.pinned(c); got != w {
			s.t.Errorf("%s: %s is pinned as %q, want %q", what, c, got, w)
		}
	}
}

func TestKuboOwnershipMatrix(t *testing.T) {
	k := newKuboRig(t)
	for _, o := range ownerships() {
		t.Run(o.name, func(t *testing.T) {
			c := k.add(o.name)
			if o.ownV0 {
				c = k.addPB(o.name)
			}
			o.play(t, kuboStage{k}, c)
		})
	}
}

// addPB is add of what can be spelled in both versions; it returns version 1.
func (k *kuboRig) addPB(text string) cid.Cid {
	k.t.Helper()
	k.files++
	at := filepath.Join(k.kubo.Repo, fmt.Sprintf("file-%d", k.files))
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	c, err := cid.Decode(strings.TrimSpace(k.kubo.Run("add", "--pin=false", "-Q", at)))
	if err != nil {
		k.t.Fatal(err)
	}
	return pinset.V1(c)
}

type kuboStage struct{ *kuboRig }

func (s kuboStage) owner(step string, c cid.Cid, mode pinset.Mode) {
	if step == "owner+" {
		s.kubo.Run("pin", "add", "--recursive="+fmt.Sprint(mode == pinset.Recursive), "--name=mine", c.String())
	} else {
		s.kubo.Run("pin", "rm", c.String())
	}
}

func (s kuboStage) cluster(p pinset.Pin, on bool) { fakeStage{s.rig}.cluster(p, on) }

func (s kuboStage) show(what string, want map[cid.Cid]string) {
	if err := s.RecoverAll(s.t.Context()); err != nil { // a sweep, which else comes in an hour
		s.t.Fatal(err)
	}
	for c, w := range want {
		s.awaitPinned(c, what, w)
	}
}
