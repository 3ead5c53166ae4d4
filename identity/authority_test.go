package identity_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

var seeds = flag.Int("authority.seeds", 150, "random histories of control entries to try")

// twin is the naive evaluation: it keeps every entry and looks through all of
// them for each answer.
type twin struct {
	f   *identity.Founding
	all []identity.Entry
}

// winner is the CRDT's: greater priority, then greater value bytes.
func (w twin) winner(key string) (identity.Entry, bool) {
	var best identity.Entry
	found := false
	for _, e := range w.all {
		if e.Key == key && (!found || e.Priority > best.Priority ||
			e.Priority == best.Priority && bytes.Compare(e.Value, best.Value) > 0) {
			best, found = e, true
		}
	}
	return best, found
}

func (w twin) member(t *testing.T, id peer.ID) (identity.Record, bool) {
	e, ok := w.winner(identity.MemberKey(id))
	if !ok {
		return identity.Record{}, false
	}
	r, err := identity.OpenRecord(w.f.ID(), e.Value)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range w.all {
		rest, ok := strings.CutPrefix(x.Key, identity.RemovalPrefix+id.String()+"/")
		if !ok || bytes.Equal(x.Value, must1(identity.CauseAbsent.Encode())) {
			continue
		}
		var inc uint64
		if _, err := fmt.Sscanf(rest, "%d/", &inc); err != nil {
			t.Fatal(err)
		}
		if r.Incarnation <= inc {
			return identity.Record{}, false
		}
	}
	return r, true
}

func (w twin) policy(t *testing.T) identity.Policy {
	e, ok := w.winner(identity.PolicyKey)
	if !ok {
		return w.f.Policy()
	}
	p, err := identity.DecodePolicy(e.Value)
	return must(t, p, err)
}

func (w twin) role(t *testing.T, id peer.ID) identity.Role {
	if e, ok := w.winner(identity.RoleKey(id)); ok {
		for r := identity.RoleObserver; r <= identity.RoleAdmin; r++ {
			if bytes.Equal(e.Value, must1(r.Encode())) {
				return r
			}
		}
	}
	switch {
	case id == w.f.Founder():
		return identity.RoleAdmin
	case w.policy(t).Writers == identity.ListedWriters:
		return identity.RoleKeeper
	}
	return identity.RoleWriter
}

// history draws control entries as an admitted log could hold them, with ties of
// priority, forks, and some that do not decode.
func history(c *identitytest.Cluster, rnd *rand.Rand) []identity.Entry {
	var all []identity.Entry
	n := len(c.Keys)
	add := func(author int, key string, value []byte) {
		all = append(all, identity.Entry{
			Author: c.ID(author), Seq: uint64(len(all)), Priority: uint64(rnd.Intn(6)), Key: key, Value: value,
		})
	}
	for range 4 + rnd.Intn(20) {
		i, j := rnd.Intn(n), rnd.Intn(n)
		switch rnd.Intn(8) {
		case 0, 1, 2:
			r := c.Record(i)
			r.Seq, r.Incarnation, r.Level = 1+uint64(rnd.Intn(9)), uint64(rnd.Intn(3)), 1+uint64(rnd.Intn(3))
			r.State = identity.MemberState(rnd.Intn(2))
			add(i, identity.MemberKey(c.ID(i)), c.Seal(i, r))
		case 3:
			add(i, identity.RoleKey(c.ID(j)), must1(identity.Role(rnd.Intn(5)).Encode()))
		case 4, 5:
			cause := identity.Cause(rnd.Intn(4))
			add(i, identity.RemovalKey(c.ID(j), uint64(rnd.Intn(2)), c.ID(i)), must1(cause.Encode()))
		case 6:
			p := identity.DefaultPolicy()
			p.Writers, p.FillDays = identity.Writers(rnd.Intn(2)), 1+uint64(rnd.Intn(3))
			add(i, identity.PolicyKey, must1(p.Encode()))
		case 7:
			switch rnd.Intn(6) {
			case 4:
				add(i, identity.MemberKey(c.ID(j)), c.Seal(i, c.Record(i)))
			case 5:
				add(i, identity.RemovalKey(c.ID(j), 5, c.ID((i+1)%n)), must1(identity.CauseAdmin.Encode()))
			case 0:
				add(i, identity.FormatKey, must1(identity.EncodeFormat(1+uint64(rnd.Intn(3)))))
			case 1:
				add(i, identity.SecretKey, must1(identity.EncodeSecret(1+uint64(rnd.Intn(3)), identity.Secret{byte(rnd.Intn(3))})))
			case 2:
				add(i, identity.MemberKey(c.ID(i)), []byte("garbage"))
			case 3:
				add(i, identity.MemberKey(c.ID(j)), c.Seal(j, c.Record(j)))
			}
		}
	}
	// What Check refuses is never in an admitted log, and the twin does not judge
	// it: another's record, garbage.
	return slices.Clip(all)
}

func admitted(c *identitytest.Cluster, all []identity.Entry) []identity.Entry {
	return slices.DeleteFunc(slices.Clone(all), func(e identity.Entry) bool {
		if strings.HasPrefix(e.Key, identity.RemovalPrefix) {
			return !strings.HasSuffix(e.Key, "/"+e.Author.String())
		}
		if !strings.HasPrefix(e.Key, identity.MemberPrefix) {
			return false
		}
		_, err := identity.OpenRecord(c.Founding.ID(), e.Value)
		return err != nil || e.Key != identity.MemberKey(e.Author)
	})
}

var recordEqual = cmpopts.IgnoreUnexported(identity.Record{}, identity.Policy{})

func TestAuthorityEqualsItsNaiveTwinInAnyOrder(t *testing.T) {
	c := identitytest.New(t, 4)
	for seed := range *seeds {
		rnd := rand.New(rand.NewSource(int64(seed)))
		all := history(c, rnd)
		want := identity.NewAuthority(c.Founding, c.Secret, all...)
		w := twin{c.Founding, admitted(c, all)}
		var members []identity.Record
		for i := range c.Keys {
			id := c.ID(i)
			r, ok := w.member(t, id)
			if ok {
				members = append(members, r)
			}
			if want.Is(id) != ok || want.Role(id) != w.role(t, id) ||
				want.CanWrite(id) != (ok && w.role(t, id) >= identity.RoleWriter) {
				t.Fatalf("seed %d: peer %d: member %v, role %v: want %v, %v", seed, i, want.Is(id), want.Role(id), ok, w.role(t, id))
			}
			_, ever := w.winner(identity.MemberKey(id))
			if want.Ever(id) != ever {
				t.Fatalf("seed %d: peer %d: ever %v", seed, i, want.Ever(id))
			}
		}
		slices.SortFunc(members, func(x, y identity.Record) int { return strings.Compare(string(x.Peer), string(y.Peer)) })
		if diff := cmp.Diff(members, want.Members(), recordEqual); diff != "" {
			t.Fatalf("seed %d: members: %s", seed, diff)
		}
		if diff := cmp.Diff(w.policy(t), want.Policy(), recordEqual); diff != "" {
			t.Fatalf("seed %d: policy: %s", seed, diff)
		}
		shuffleAndCompare(t, c, all, want, rnd, seed)
	}
}

// shuffleAndCompare evaluates the same set in another order, cut into pieces,
// with repetitions, and as a union of two overlapping parts.
func shuffleAndCompare(t *testing.T, c *identitytest.Cluster, all []identity.Entry, want *identity.Authority, rnd *rand.Rand, seed int) {
	t.Helper()
	for range 4 {
		mixed := append(slices.Clone(all), all[:rnd.Intn(len(all))]...)
		rnd.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		a := identity.NewAuthority(c.Founding, c.Secret)
		for rest := mixed; len(rest) > 0; {
			n := 1 + rnd.Intn(len(rest))
			a, rest = a.With(rest[:n]...), rest[n:]
		}
		i := rnd.Intn(len(mixed) + 1)
		j := rnd.Intn(i + 1)
		u := identity.NewAuthority(c.Founding, c.Secret, mixed[:i]...).
			Union(identity.NewAuthority(c.Founding, c.Secret, mixed[j:]...))
		for name, got := range map[string]*identity.Authority{"pieces": a, "union": u} {
			if got.Digest() != want.Digest() {
				t.Fatalf("seed %d: %s: another digest", seed, name)
			}
			compareAnswers(t, c, want, got, fmt.Sprintf("seed %d: %s", seed, name))
		}
	}
}

func compareAnswers(t *testing.T, c *identitytest.Cluster, want, got *identity.Authority, where string) {
	t.Helper()
	if diff := cmp.Diff(want.Members(), got.Members(), recordEqual); diff != "" {
		t.Fatalf("%s: members: %s", where, diff)
	}
	if want.Level() != got.Level() || want.SecretGeneration() != got.SecretGeneration() {
		t.Fatalf("%s: level %d, generation %d", where, got.Level(), got.SecretGeneration())
	}
	for i := range c.Keys {
		if want.NextSeq(c.ID(i)) != got.NextSeq(c.ID(i)) || want.NextIncarnation(c.ID(i)) != got.NextIncarnation(c.ID(i)) {
			t.Fatalf("%s: next seq or incarnation of %d", where, i)
		}
		for j := range c.Keys {
			e := identity.Element{Key: identity.RemovalKey(c.ID(j), 0, c.ID(i)), Value: must1(identity.CauseMajority.Encode())}
			x, y := want.Check(c.ID(i), []identity.Element{e}), got.Check(c.ID(i), []identity.Element{e})
			if fmt.Sprint(x) != fmt.Sprint(y) {
				t.Fatalf("%s: verdict on %s: %v, want %v", where, e.Key, y, x)
			}
		}
	}
}

func TestWithLeavesTheOlderAuthorityAsItWas(t *testing.T) {
	for seed := range 50 {
		rnd := rand.New(rand.NewSource(int64(seed)))
		c := identitytest.New(t, 4)
		all := history(c, rnd)
		i := rnd.Intn(len(all))
		a := identity.NewAuthority(c.Founding, c.Secret, all[:i]...)
		b := identity.NewAuthority(c.Founding, c.Secret, all[i:]...)
		a.With(all[i:]...)
		a.Union(b)
		if again := identity.NewAuthority(c.Founding, c.Secret, all[:i]...); a.Digest() != again.Digest() {
			t.Fatalf("seed %d: With or Union changed its receiver", seed)
		}
		if again := identity.NewAuthority(c.Founding, c.Secret, all[i:]...); b.Digest() != again.Digest() {
			t.Fatalf("seed %d: Union changed its argument", seed)
		}
	}
}

func TestRemovalTakesTheStrongestCause(t *testing.T) {
	for _, tc := range []struct {
		name         string
		before       func(*ground)
		gone, signer int
		want         identity.Cause
		inc          uint64
		member       bool // the removed one, afterwards
	}{
		{"oneself", nil, 1, 1, identity.CauseSelf, 0, false},
		{"an admin bars the key", nil, 1, 0, identity.CauseAdmin, identity.LastIncarnation, false},
		{"the first attester", nil, 2, 1, identity.CauseAbsent, 0, true},
		{"the attester that makes it more than half", attestedBy(0, 3), 2, 1, identity.CauseMajority, 0, false},
	} {
		g := newGround(t, identity.DefaultPolicy())
		if tc.before != nil {
			tc.before(g)
		}
		got, err := g.a.Removal(g.ID(tc.gone), g.ID(tc.signer))
		want := g.removal(tc.gone, tc.inc, tc.signer, tc.want)
		if err != nil || got.Key != want.Key || !bytes.Equal(got.Value, want.Value) {
			t.Errorf("%s: got %q %x, %v; want %q %x", tc.name, got.Key, got.Value, err, want.Key, want.Value)
			continue
		}
		if err := g.a.Check(g.ID(tc.signer), []identity.Element{got}); err != nil {
			t.Errorf("%s: refused: %v", tc.name, err)
		}
		g.add(tc.signer, got)
		if g.a.Is(g.ID(tc.gone)) != tc.member || !g.a.Ever(g.ID(tc.gone)) {
			t.Errorf("%s: member afterwards: %v", tc.name, g.a.Is(g.ID(tc.gone)))
		}
	}
}

func BenchmarkAuthorityWithARecordAmong1000(b *testing.B) {
	c := identitytest.New(b, 1000)
	a, e := c.Authority(999), c.Entry(999)
	b.ReportAllocs()
	for b.Loop() {
		a.With(e)
	}
}
