package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func TestThePolicyIsReadAsItIsWritten(t *testing.T) {
	r := newRig(t, 2)
	ctx, c := context.Background(), r.peers[0]
	before, err := c.Policy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, rule := range before {
		if rule.Doc == "" || rule.Value == "" {
			t.Errorf("%s: value %q, meaning %q", rule.Key, rule.Value, rule.Doc)
		}
		all[rule.Key] = rule.Value
	}
	if err := c.SetPolicy(ctx, all); err != nil || fmt.Sprint(r.log.authority.Policy()) != fmt.Sprint(identity.DefaultPolicy()) {
		t.Errorf("setting what is: %v, %+v", err, r.log.authority.Policy())
	}
	if err := c.SetPolicy(ctx, map[string]string{
		"writers": "list", "replication": "1..4", "absent": "96h", "grace": "1h", "retention": "0s",
		"mass_removal": "5", "fill_days": "7", "strict_share": "60", "mirrors_count": "true",
	}); err != nil {
		t.Fatal(err)
	}
	want := identity.Policy{
		Writers: identity.ListedWriters, Min: 1, Max: 4, Algo: 1, FillDays: 7, StrictShare: 60, MirrorsCount: true,
		Absent: 96 * time.Hour, Grace: time.Hour, MassRemoval: 5,
	}
	if got := r.peers[1].base.State.Authority().Policy(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for text, want := range map[string][2]int{"all": {-1, -1}, "-1": {-1, -1}, "3": {3, 3}} {
		if err := c.SetPolicy(ctx, map[string]string{"replication": text}); err != nil {
			t.Errorf("replication %s: %v", text, err)
		}
		if p := r.log.authority.Policy(); [2]int{p.Min, p.Max} != want {
			t.Errorf("replication %s: %d..%d", text, p.Min, p.Max)
		}
	}
}

func TestPoliciesThatNobodyCanMean(t *testing.T) {
	r := newRig(t, 2)
	for key, tc := range map[string]struct{ value, say string }{
		"replication": {"3..2", "3..2"}, "absent": {"-1h", "-1h"}, "grace": {"a day", "a day"}, "writers": {"everybody", "everybody"},
		"mass_removal": {"101", "101"}, "fill_days": {"0", "1 to 36500"}, "retenton": {"1h", "retention"}, "mirrors_count": {"often", "often"},
	} {
		err := r.peers[0].SetPolicy(context.Background(), map[string]string{key: tc.value, "strict_share": "10"})
		if pinset.KindOf(err) != pinset.KindInvalid || !strings.Contains(fmt.Sprint(err)+pinset.HintOf(err), tc.say) {
			t.Errorf("%s=%s: %v (%s)", key, tc.value, err, pinset.HintOf(err))
		}
	}
	if err := r.peers[1].SetPolicy(context.Background(), map[string]string{"grace": "1h"}); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("by no admin: %v", err)
	}
	if fmt.Sprint(r.log.authority.Policy()) != fmt.Sprint(identity.DefaultPolicy()) {
		t.Errorf("a refused change changed the policy: %+v", r.log.authority.Policy())
	}
}
