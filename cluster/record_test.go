package cluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/identity"
)

func TestATypoOfARegionIsSaid(t *testing.T) {
	r := newRigWith(t, 3, identity.DefaultPolicy(), func(i int, rec *identity.Record) {
		rec.Domains, rec.Tags = []string{"france", "attic"}, []string{"tape"}
		if i == 2 {
			rec.Domains, rec.Tags = []string{"frnace", "cellar"}, []string{"tpae"}
		}
	})
	got := r.peers[2].Typos()
	if len(got) != 2 || !strings.Contains(got[0], `"france"`) || !strings.Contains(got[1], `"tape"`) {
		t.Errorf("said: %q", got)
	}
	if codes := healthCodes(r.peers[2]); !slices.Contains(codes, "typo") {
		t.Errorf("health says %v", codes)
	}
	if got := r.peers[0].Typos(); len(got) != 0 {
		t.Errorf("who says what another says is told too: %q", got)
	}
	r.rewrite(1, func(rec *identity.Record) { rec.Domains = []string{"frnace"}; rec.Tags = nil })
	if got := r.peers[2].Typos(); len(got) != 1 {
		t.Errorf("where another says the same, it is meant: %q", got)
	}
}
