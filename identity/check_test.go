package identity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

// ground is a cluster of five: 0 the founder and admin, 1 and 2 members, 3 a
// member with a role, 4 a stranger with a valid record.
type ground struct {
	*identitytest.Cluster
	t *testing.T
	a *identity.Authority
	n uint64 // priority of the last entry
}

func newGround(t *testing.T, p identity.Policy) *ground {
	g := &ground{Cluster: identitytest.NewWith(t, 6, p), t: t, n: 10}
	g.a = g.Authority(4)
	return g
}

func (g *ground) add(author int, e identity.Element) {
	g.t.Helper()
	g.n++
	g.a = g.a.With(identity.Entry{Author: g.ID(author), Seq: g.n, Priority: g.n, Key: e.Key, Value: e.Value})
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (g *ground) role(i int, r identity.Role) identity.Element {
	return identity.Element{Key: identity.RoleKey(g.ID(i)), Value: must1(r.Encode())}
}

func (g *ground) removal(gone int, inc uint64, signer int, c identity.Cause) identity.Element {
	return identity.Element{Key: identity.RemovalKey(g.ID(gone), inc, g.ID(signer)), Value: must1(c.Encode())}
}

func (g *ground) record(i int, change func(*identity.Record)) identity.Element {
	r := g.Record(i)
	if change != nil {
		change(&r)
	}
	return identity.Element{Key: identity.MemberKey(r.Peer), Value: g.Seal(i, r)}
}

func must1(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func pin() identity.Element  { return identity.Element{Key: "/p/x/-", Value: []byte{1}} }
func gone() identity.Element { return identity.Element{Key: "/p/x/-", Tombstone: true} }

func policyElement(p identity.Policy) identity.Element {
	return identity.Element{Key: identity.PolicyKey, Value: must1(p.Encode())}
}

func format(level uint64) identity.Element {
	return identity.Element{Key: identity.FormatKey, Value: must1(identity.EncodeFormat(level))}
}

func listed() identity.Policy {
	p := identity.DefaultPolicy()
	p.Writers = identity.ListedWriters
	return p
}

// TestCheckHoldsEachRule has a row for each rule on who may write what. want is a
// word of the refusal, "" for a block that is admitted.
func TestCheckHoldsEachRule(t *testing.T) {
	bump := func(r *identity.Record) { r.Seq = 2 }
	for _, tc := range []struct {
		name   string
		policy func() identity.Policy
		before func(g *ground)
		author int
		elems  func(g *ground) []identity.Element
		want   string
	}{
		{name: "a member pins", author: 1, elems: some(pin(), gone())},
		{name: "an empty merge delta by a member", author: 1, elems: some()},
		{name: "a stranger pins", author: 4, elems: some(pin()), want: "no member"},
		{name: "an empty delta by a stranger", author: 4, elems: some(), want: "no member"},
		{name: "a newcomer brings its record", author: 4, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(4, nil)}
		}},
		{name: "a newcomer brings its record and pins", author: 4, elems: func(g *ground) []identity.Element {
			return []identity.Element{pin(), g.record(4, nil)}
		}},
		{name: "a newcomer brings another's record", author: 4, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(5, nil)}
		}, want: "no member"},
		{name: "a newcomer brings its record and rules", author: 4, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(4, nil), policyElement(listed())}
		}, want: "not an admin"},
		{name: "a newcomer under another secret", author: 4, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(4, func(r *identity.Record) {
				r.Proof = identity.Secret{1}.Proof(g.Founding.ID(), g.ID(4))
			})}
		}, want: "secret"},
		{name: "a newcomer with another's proof", author: 4, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(4, func(r *identity.Record) { r.Proof = g.Record(1).Proof })}
		}, want: "secret"},
		{name: "a newcomer under an old generation of the secret", author: 4, before: rotate, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(4, nil)}
		}, want: "generation"},
		{name: "a newcomer under the newest generation is parked by this version", author: 4, before: rotate,
			elems: func(g *ground) []identity.Element {
				return []identity.Element{g.record(4, func(r *identity.Record) { r.SecretGen = 1 })}
			}, want: "newer"},
		{name: "a member keeps its generation after a rotation", author: 1, before: rotate, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, bump)}
		}},
		{name: "a member names a generation that is not there", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, func(r *identity.Record) { r.Seq, r.SecretGen = 2, 1 })}
		}, want: "generation"},

		{name: "a member updates its record", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, bump)}
		}},
		{name: "a record with the seq of its ancestor", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, nil)}
		}, want: "seq"},
		{name: "a record with a seq above the winner, below a loser", author: 1, before: func(g *ground) {
			// a fork: seq 9 at a low priority, seq 3 at a high one
			high, low := g.record(1, func(r *identity.Record) { r.Seq = 9 }), g.record(1, func(r *identity.Record) { r.Seq = 3 })
			g.a = g.a.With(identity.Entry{Author: g.ID(1), Priority: 3, Key: high.Key, Value: high.Value},
				identity.Entry{Author: g.ID(1), Priority: 9, Key: low.Key, Value: low.Value})
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, func(r *identity.Record) { r.Seq = 5 })}
		}, want: "seq"},
		{name: "a member writes another's record", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(2, bump)}
		}, want: "only the member itself"},
		{name: "a member puts another's record under its own key", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{{Key: identity.MemberKey(g.ID(1)), Value: g.record(2, bump).Value}}
		}, want: "holds the record of"},
		{name: "a record of another cluster", author: 1, elems: func(g *ground) []identity.Element {
			r := g.Record(1)
			r.Seq = 2
			v, err := r.Seal(g.Keys[1], "another")
			return []identity.Element{{Key: identity.MemberKey(g.ID(1)), Value: must(g.t, v, err)}}
		}, want: "signature"},
		{name: "a record with a flipped bit", author: 1, elems: func(g *ground) []identity.Element {
			e := g.record(1, bump)
			e.Value[len(e.Value)-1] ^= 1
			return []identity.Element{e}
		}, want: "signature"},
		{name: "a record below the incarnation of its ancestor", author: 1, before: func(g *ground) {
			g.add(1, g.record(1, func(r *identity.Record) { r.Seq, r.Incarnation = 2, 3 }))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, func(r *identity.Record) { r.Seq, r.Incarnation = 3, 2 })}
		}, want: "incarnation"},
		{name: "a record is removed", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{{Key: identity.MemberKey(g.ID(1)), Tombstone: true}}
		}, want: "cannot be removed"},

		{name: "an admin rules", author: 0, elems: some(policyElement(listed()))},
		{name: "a member rules", author: 1, elems: some(policyElement(listed())), want: "not an admin"},
		{name: "a policy that cannot be", author: 0, elems: some(identity.Element{Key: identity.PolicyKey, Value: []byte{0xa0}}), want: "policy"},
		{name: "a policy is removed", author: 0, elems: some(identity.Element{Key: identity.PolicyKey, Tombstone: true}), want: "cannot be removed"},
		{name: "an admin gives a role", author: 0, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.role(1, identity.RoleKeeper)}
		}},
		{name: "a member makes itself admin", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.role(1, identity.RoleAdmin)}
		}, want: "not an admin"},
		{name: "a new admin rules", author: 1, before: func(g *ground) { g.add(0, g.role(1, identity.RoleAdmin)) },
			elems: some(policyElement(listed()))},
		{name: "a former admin rules", author: 0, before: func(g *ground) { g.add(0, g.role(0, identity.RoleWriter)) },
			elems: some(policyElement(listed())), want: "not an admin"},
		{name: "an admin announces the next secret", author: 0, elems: some(secret(1))},
		{name: "an admin skips a generation of the secret", author: 0, elems: some(secret(2)), want: "want 1"},
		{name: "a member announces a secret", author: 1, elems: some(secret(1)), want: "not an admin"},
		{name: "a role for nobody", author: 0, elems: some(identity.Element{Key: "/c/role/abc", Value: must1(identity.RoleAdmin.Encode())}), want: "/c/role/abc"},
		{name: "an unknown ruling", author: 0, elems: some(identity.Element{Key: "/c/zone", Value: []byte{0xa0}}), want: "no such ruling"},

		{name: "a keeper pins", author: 3, before: keeper(identity.RoleKeeper), elems: some(pin()), want: "may not write"},
		{name: "a keeper unpins", author: 3, before: keeper(identity.RoleKeeper), elems: some(gone()), want: "may not write"},
		{name: "a keeper follows", author: 3, before: keeper(identity.RoleKeeper),
			elems: some(identity.Element{Key: "/f/x", Value: []byte{1}}), want: "may not write"},
		{name: "a keeper publishes a size", author: 3, before: keeper(identity.RoleKeeper), elems: some(identity.Element{Key: "/s/x", Value: []byte{1}})},
		{name: "an observer pins", author: 3, before: keeper(identity.RoleObserver), elems: some(pin()), want: "may not write"},
		{name: "a member pins where writers are listed", policy: listed, author: 1, elems: some(pin()), want: "may not write"},
		{name: "a listed writer pins", policy: listed, author: 3, before: keeper(identity.RoleWriter), elems: some(pin())},
		{name: "the founder pins where writers are listed", policy: listed, author: 0, elems: some(pin())},
		{name: "a member pins after the policy became a list", author: 1, before: func(g *ground) { g.add(0, policyElement(listed())) },
			elems: some(pin()), want: "may not write"},
		{name: "a stranger publishes a size", author: 4, elems: some(identity.Element{Key: "/s/x", Value: []byte{1}}), want: "no member"},
		{name: "a size is removed", author: 1, elems: some(identity.Element{Key: "/s/x", Tombstone: true}), want: "cannot be removed"},
		{name: "an unknown prefix", author: 0, elems: some(identity.Element{Key: "/q/x", Value: []byte{1}}), want: "no such kind"},
		{name: "a key that climbs", author: 0, elems: some(identity.Element{Key: "/../../h", Value: []byte{1}}), want: "no such kind"},

		{name: "a member leaves", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(1, 0, 1, identity.CauseSelf)}
		}},
		{name: "a member leaves for another", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseSelf)}
		}, want: "for another"},
		{name: "a member removes in the name of an admin", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 0, identity.CauseAdmin)}
		}, want: "in the name of"},
		{name: "a member removes as an admin", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseAdmin)}
		}, want: "not an admin"},
		{name: "an admin removes", author: 0, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 0, identity.CauseAdmin)}
		}},
		{name: "an admin removes a stranger", author: 0, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(4, 0, 0, identity.CauseAdmin)}
		}, want: "no member"},
		{name: "an admin removes who left", author: 0, before: func(g *ground) {
			g.add(2, g.removal(2, 0, 2, identity.CauseSelf))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 0, identity.CauseAdmin)}
		}, want: "no member"},
		{name: "an admin bars a key", author: 0, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, identity.LastIncarnation, 0, identity.CauseAdmin)}
		}},
		{name: "an admin removes an incarnation that is past", author: 0, before: func(g *ground) {
			g.add(2, g.record(2, func(r *identity.Record) { r.Seq, r.Incarnation = 2, 4 }))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 3, 0, identity.CauseAdmin)}
		}, want: "incarnation is 4"},
		{name: "a member attests another's absence", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseAbsent)}
		}},
		{name: "a member attests the absence of a future incarnation", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 1, 1, identity.CauseAbsent)}
		}, want: "incarnation is 0"},
		{name: "a member attests its own absence", author: 1, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(1, 0, 1, identity.CauseAbsent)}
		}, want: "another active member"},
		{name: "a draining member attests", author: 1, before: func(g *ground) {
			g.add(1, g.record(1, func(r *identity.Record) { r.Seq, r.State = 2, identity.Draining }))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseAbsent)}
		}, want: "another active member"},
		{name: "half of the active members are no majority", author: 1, before: attestedBy(0), elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseMajority)}
		}, want: "2 of 4"},
		{name: "more than half of the active members are a majority", author: 1, before: attestedBy(0, 3), elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseMajority)}
		}},
		{name: "draining members do not count", author: 1, before: func(g *ground) {
			attestedBy(0, 3)(g)
			g.add(3, g.record(3, func(r *identity.Record) { r.Seq, r.State = 2, identity.Draining }))
			g.add(4, g.record(4, nil))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseMajority)}
		}, want: "2 of 4"},
		{name: "attesters that were removed do not count", author: 1, before: func(g *ground) {
			attestedBy(0, 3)(g)
			g.add(3, g.removal(3, 0, 3, identity.CauseSelf))
			g.add(4, g.record(4, nil))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 0, 1, identity.CauseMajority)}
		}, want: "2 of 4"},
		{name: "attestations of an older incarnation are void", author: 1, before: func(g *ground) {
			attestedBy(0, 3)(g)
			g.add(2, g.record(2, func(r *identity.Record) { r.Seq, r.Incarnation = 2, 1 }))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.removal(2, 1, 1, identity.CauseMajority)}
		}, want: "1 of 4"},
		{name: "an attestation is removed", author: 1, before: attestedBy(1), elems: func(g *ground) []identity.Element {
			return []identity.Element{{Key: identity.RemovalKey(g.ID(2), 0, g.ID(1)), Tombstone: true}}
		}, want: "cannot be removed"},

		{name: "a removed member pins", author: 1, before: removed, elems: some(pin()), want: "was removed"},
		{name: "a removed member merges", author: 1, before: removed, elems: some(), want: "was removed"},
		{name: "a removed incarnation comes back", author: 1, before: removed, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, bump)}
		}, want: "incarnation"},
		{name: "a removed member comes back with the next incarnation", author: 1, before: removed, elems: func(g *ground) []identity.Element {
			return []identity.Element{pin(), g.record(1, func(r *identity.Record) { r.Seq, r.Incarnation = 2, 1 })}
		}},
		{name: "a barred key comes back", author: 1, before: func(g *ground) {
			g.add(0, g.removal(1, identity.LastIncarnation, 0, identity.CauseAdmin))
		}, elems: func(g *ground) []identity.Element {
			return []identity.Element{g.record(1, func(r *identity.Record) { r.Seq, r.Incarnation = 2, identity.LastIncarnation-1 })}
		}, want: "incarnation"},

		{name: "the level rises to what all announce", author: 0, before: allAnnounce(2), elems: some(format(2))},
		{name: "the level rises above what one announces", author: 0, elems: some(format(2)), want: "understands only 1"},
		{name: "the level stays", author: 0, elems: some(format(1)), want: "want above 1"},
		{name: "a member raises the level", author: 1, before: allAnnounce(2), elems: some(format(2)), want: "not an admin"},
		{name: "above this peer's own level everything is parked", author: 1, before: func(g *ground) {
			allAnnounce(2)(g)
			g.add(0, format(2))
		}, elems: some(pin()), want: "newer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := identity.DefaultPolicy()
			if tc.policy != nil {
				p = tc.policy()
			}
			g := newGround(t, p)
			if tc.before != nil {
				tc.before(g)
			}
			err := g.a.Check(g.ID(tc.author), tc.elems(g))
			if tc.want == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("got %v, want a refusal with %q", err, tc.want)
			}
			if parked := errors.Is(err, identity.ErrNewer); parked != (tc.want == "newer") {
				t.Fatalf("parked %v: %v", parked, err)
			}
		})
	}
}

func some(elems ...identity.Element) func(*ground) []identity.Element {
	return func(*ground) []identity.Element { return elems }
}

func secret(generation uint64) identity.Element {
	return identity.Element{Key: identity.SecretKey, Value: must1(identity.EncodeSecret(generation, identity.Secret{7}))}
}

func rotate(g *ground) { g.add(0, secret(1)) }

func keeper(r identity.Role) func(*ground) { return func(g *ground) { g.add(0, g.role(3, r)) } }

func removed(g *ground) { g.add(0, g.removal(1, 0, 0, identity.CauseAdmin)) }

func attestedBy(signers ...int) func(*ground) {
	return func(g *ground) {
		for _, s := range signers {
			g.add(s, g.removal(2, 0, s, identity.CauseAbsent))
		}
	}
}

func allAnnounce(level uint64) func(*ground) {
	return func(g *ground) {
		for i := range 4 {
			g.add(i, g.record(i, func(r *identity.Record) { r.Seq, r.Level = 2, level }))
		}
	}
}

func TestTheFirstBlockIsTheFounders(t *testing.T) {
	g := newGround(t, identity.DefaultPolicy())
	a := g.Authority(0)
	for _, tc := range []struct {
		name   string
		author int
		elems  []identity.Element
		want   string
	}{
		{"by the founder, with its record", 0, []identity.Element{g.record(0, nil), pin()}, ""},
		{"by the founder, without", 0, []identity.Element{pin()}, "no member"},
		{"empty", 0, nil, "no member"},
		{"by another, with its record", 1, []identity.Element{g.record(1, nil)}, "not by the founder"},
		{"by another, with the founder's", 1, []identity.Element{g.record(0, nil)}, "not by the founder"},
	} {
		err := a.Check(g.ID(tc.author), tc.elems)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestCheckOfPinDeltasDoesNotAllocate(t *testing.T) {
	g := newGround(t, identity.DefaultPolicy())
	elems := []identity.Element{pin(), gone()}
	id := g.ID(1)
	if n := testing.AllocsPerRun(100, func() {
		if err := g.a.Check(id, elems); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkCheckPinDelta(b *testing.B) {
	c := identitytest.New(b, 4)
	a, id, elems := c.Authority(4), c.ID(1), []identity.Element{pin()}
	for b.Loop() {
		if err := a.Check(id, elems); err != nil {
			b.Fatal(err)
		}
	}
}
