package identity_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fullRecord(c *identitytest.Cluster) identity.Record {
	r := c.Record(1)
	r.Name, r.InPerDay, r.Phi, r.Domains, r.Tags, r.Mirrors = "böb", 5e9, 1024, []string{"fr", "household-12"}, []string{"eu", "ssd"}, []string{"alice"}
	r.State, r.Incarnation, r.IPFSPeer, r.Seq = identity.Draining, 2, c.ID(2), 7
	return r
}

func testInvite(t testing.TB) identity.Invite {
	c := identitytest.New(t, 3)
	addr := func(s string) ma.Multiaddr { a, err := ma.NewMultiaddr(s); return must(t, a, err) }
	return identity.Invite{Cluster: c.Founding.ID(), Name: "test", Secret: c.Secret, Peers: []peer.AddrInfo{
		{ID: c.ID(0), Addrs: []ma.Multiaddr{addr("/ip4/203.0.113.7/tcp/9096"), addr("/dns4/archive.example.org/tcp/9096")}},
		{ID: c.ID(1)},
	}}
}

// TestFormatsAreGolden fixes every byte that is signed, hashed or given to
// people. A change here breaks running clusters.
func TestFormatsAreGolden(t *testing.T) {
	c := identitytest.New(t, 3)
	policy := identity.DefaultPolicy()
	policy.Writers, policy.MirrorsCount, policy.Min, policy.Max = identity.ListedWriters, true, -1, -1
	sealed, err := identity.Seal(c.Keys[1], "statement", c.Founding.ID(), []byte{0xa0})
	must(t, sealed, err)
	for name, got := range map[string]string{
		"founding":       hex.EncodeToString(c.Founding.Marshal()),
		"cluster-id":     string(c.Founding.ID()),
		"record":         hex.EncodeToString(c.Seal(1, c.Record(1))),
		"record-full":    hex.EncodeToString(c.Seal(1, fullRecord(c))),
		"policy-default": hex.EncodeToString(must1(identity.DefaultPolicy().Encode())),
		"policy-full":    hex.EncodeToString(must1(policy.Encode())),
		"role":           hex.EncodeToString(must1(identity.RoleKeeper.Encode())),
		"format":         hex.EncodeToString(must1(identity.EncodeFormat(2))),
		"secret":         hex.EncodeToString(must1(identity.EncodeSecret(1, c.Secret))),
		"removal":        identity.RemovalKey(c.ID(1), 3, c.ID(0)) + " " + hex.EncodeToString(must1(identity.CauseMajority.Encode())),
		"keys":           strings.Join([]string{identity.MemberKey(c.ID(1)), identity.RoleKey(c.ID(1))}, " "),
		"proof":          hex.EncodeToString(c.Secret.Proof(c.Founding.ID(), c.ID(1))),
		"psk":            hex.EncodeToString(c.Secret.PSK()),
		"invite":         testInvite(t).String(),
		"envelope":       hex.EncodeToString(sealed),
	} {
		path := filepath.Join("testdata", "golden", name)
		if *update {
			if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if got+"\n" != string(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestFoundingSurvivesAndIsVerified(t *testing.T) {
	c := identitytest.New(t, 2)
	f, err := identity.ParseFounding(c.Founding.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if f.ID() != c.Founding.ID() || f.Name() != "test" || f.Founder() != c.ID(0) || !f.Created().Equal(identitytest.Start()) {
		t.Errorf("got %v %v %v %v", f.ID(), f.Name(), f.Founder(), f.Created())
	}
	if diff := cmp.Diff(identity.DefaultPolicy(), f.Policy(), recordEqual); diff != "" {
		t.Error(diff)
	}
	if err := f.CheckSecret(c.Secret); err != nil {
		t.Error(err)
	}
	if err := f.CheckSecret(identity.Secret{1}); !errors.Is(err, identity.ErrSecret) {
		t.Errorf("another secret: %v", err)
	}
	raw := c.Founding.Marshal()
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if f, err := identity.ParseFounding(bad); err == nil && f.ID() == c.Founding.ID() {
			t.Fatalf("byte %d flipped: accepted as %s", i, f.ID())
		}
	}
	if _, err := identity.ParseFounding(append(raw, 0)); err == nil {
		t.Error("a byte too many: accepted")
	}
}

func TestFoundingRefusesWhatCannotBe(t *testing.T) {
	c := identitytest.New(t, 1)
	for _, tc := range []struct{ name, cluster, want string }{
		{"no name", "", "name"},
		{"a long name", strings.Repeat("a", identity.MaxName+1), "name"},
		{"a control character", "a\x1b[31m", "control"},
		{"not UTF-8", "a\xff", "name"},
		{"space at the end", "a ", "space"},
	} {
		_, err := identity.Found(c.Keys[0], tc.cluster, c.Secret, identity.DefaultPolicy(), time.Unix(0, 0))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestPolicyRefusesWhatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*identity.Policy){
		"minimum above maximum": func(p *identity.Policy) { p.Min, p.Max = 3, 2 },
		"no copies":             func(p *identity.Policy) { p.Min, p.Max = 0, 0 },
		"half everywhere":       func(p *identity.Policy) { p.Min, p.Max = -1, 3 },
		"no algorithm":          func(p *identity.Policy) { p.Algo = 0 },
		"a share above 100":     func(p *identity.Policy) { p.StrictShare = 101 },
		"mass above 100":        func(p *identity.Policy) { p.MassRemoval = 101 },
		"a negative time":       func(p *identity.Policy) { p.Grace = -time.Second },
		"a time for ever":       func(p *identity.Policy) { p.Retention = 1 << 62 },
	} {
		p := identity.DefaultPolicy()
		change(&p)
		if err := p.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := p.Encode(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestRecordSurvivesItsSeal(t *testing.T) {
	c := identitytest.New(t, 3)
	for name, r := range map[string]identity.Record{"small": c.Record(1), "full": fullRecord(c)} {
		got, err := identity.OpenRecord(c.Founding.ID(), c.Seal(1, r))
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(r, got, recordEqual); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := c.Record(1).Seal(c.Keys[2], c.Founding.ID()); err == nil {
		t.Error("sealed with another's key")
	}
}

func TestRecordRefusesWhatCannotBe(t *testing.T) {
	c := identitytest.New(t, 2)
	for name, change := range map[string]func(*identity.Record){
		"no name":            func(r *identity.Record) { r.Name = "" },
		"no seq":             func(r *identity.Record) { r.Seq = 0 },
		"no level":           func(r *identity.Record) { r.Level = 0 },
		"phi above 1":        func(r *identity.Record) { r.Phi = identity.FullPhi + 1 },
		"short proof":        func(r *identity.Record) { r.Proof = r.Proof[:31] },
		"last incarnation":   func(r *identity.Record) { r.Incarnation = identity.LastIncarnation },
		"tags out of order":  func(r *identity.Record) { r.Tags = []string{"b", "a"} },
		"a repeated tag":     func(r *identity.Record) { r.Tags = []string{"a", "a"} },
		"a tag with a comma": func(r *identity.Record) { r.Tags = []string{"a,b"} },
		"an empty domain":    func(r *identity.Record) { r.Domains = []string{""} },
		"too many mirrors":   func(r *identity.Record) { r.Mirrors = make([]string, 99) },
		"an unknown state":   func(r *identity.Record) { r.State = 9 },
	} {
		r := c.Record(1)
		change(&r)
		if _, err := r.Seal(c.Keys[1], c.Founding.ID()); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// A record with a field of a newer version keeps it when this version updates it.
func TestRecordKeepsUnknownFields(t *testing.T) {
	c := identitytest.New(t, 2)
	raw := func(r identity.Record) map[string]any {
		_, payload, err := identity.Unseal("member", c.Founding.ID(), c.Seal(1, r))
		var all map[string]any
		if err := canon.Unmarshal(must(t, payload, err), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	newer := raw(c.Record(1))
	newer["zone"] = "attic"
	payload, err := canon.Marshal(newer)
	value, err := identity.Seal(c.Keys[1], "member", c.Founding.ID(), must(t, payload, err))
	r, err := identity.OpenRecord(c.Founding.ID(), must(t, value, err))
	if err != nil {
		t.Fatal(err)
	}
	r.Seq = 2
	if got := raw(r); got["zone"] != "attic" || got["seq"] != uint64(2) {
		t.Errorf("got %v", got)
	}
}

// A signature is good for one kind of thing in one cluster.
func TestEnvelopeIsBoundToItsUse(t *testing.T) {
	c := identitytest.New(t, 2)
	raw, err := identity.Seal(c.Keys[1], "statement", c.Founding.ID(), []byte{0xa0})
	must(t, raw, err)
	if id, payload, err := identity.Unseal("statement", c.Founding.ID(), raw); err != nil || id != c.ID(1) || !bytes.Equal(payload, []byte{0xa0}) {
		t.Fatalf("got %s %x %v", id, payload, err)
	}
	if _, _, err := identity.Unseal("member", c.Founding.ID(), raw); !errors.Is(err, identity.ErrForged) {
		t.Errorf("another kind: %v", err)
	}
	if _, _, err := identity.Unseal("statement", "another", raw); !errors.Is(err, identity.ErrForged) {
		t.Errorf("another cluster: %v", err)
	}
	if _, _, err := identity.Unseal("statement", c.Founding.ID(), append(bytes.Clone(raw), 0xf8, 0x07, 0x01)); err == nil {
		t.Error("a field more: accepted")
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, _, err := identity.Unseal("statement", c.Founding.ID(), bad); err == nil {
			t.Errorf("byte %d flipped: accepted", i)
		}
	}
}

func TestSecretsAreNotPrintedByAccident(t *testing.T) {
	i := testInvite(t)
	plain := []string{hex.EncodeToString(i.Secret[:]), fmt.Sprint(i.Secret[:]), i.String(), string(i.Secret[:])}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", i.Secret, "invite", i)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", i.Secret, "invite", i)
	asJSON, err := json.Marshal(struct{ S identity.Secret }{i.Secret})
	must(t, asJSON, err)
	out := log.String() + string(asJSON) + fmt.Sprintf("%v %+v %#v %s %q %x", i.Secret, i.Secret, i.Secret, i.Secret, i.Secret, i.Secret) + fmt.Sprintf("%#v", i)
	for _, p := range plain {
		if strings.Contains(out, p) {
			t.Errorf("%q shows the secret", out)
		}
	}
}

func TestFilesOfSecretsArePrivate(t *testing.T) {
	dir := t.TempDir()
	k, err := identity.NewKey()
	must(t, k, err)
	s, err := identity.NewSecret()
	must(t, s, err)
	for _, tc := range []struct {
		name string
		save func(string) error
		load func(string) (any, error)
		want any
	}{
		{"key", k.Save, func(p string) (any, error) { k, err := identity.LoadKey(p); return k.ID(), err }, k.ID()},
		{"secret", s.Save, func(p string) (any, error) { return loadSecret(p) }, s},
	} {
		path := filepath.Join(dir, tc.name)
		if _, err := tc.load(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: missing file: %v", tc.name, err)
		}
		for range 2 { // the second time it replaces the first
			if err := tc.save(path); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v", tc.name, err, info.Mode())
		}
		if got, err := tc.load(path); err != nil || got != tc.want {
			t.Errorf("%s: got %v, %v", tc.name, got, err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := tc.load(path); !errors.Is(err, identity.ErrExposed) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%s: exposed: %v", tc.name, err)
		}
		if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("damaged"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := tc.load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: damaged: %v", tc.name, err)
		}
	}
	left, err := os.ReadDir(dir)
	if len(must(t, left, err)) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func loadSecret(path string) (any, error) { return identity.LoadSecret(path) }
