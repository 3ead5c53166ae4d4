package pinset

import (
	"encoding/hex"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/canon"
)

func testCID(t testing.TB, i int) cid.Cid {
	t.Helper()
	b := make([]byte, 8)
	rand.New(rand.NewSource(int64(i))).Read(b)
	h, err := multihash.Sum(b, multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.DagProtobuf, h)
}

func fullPin(t testing.TB) Pin {
	c := testCID(t, 1)
	return Pin{
		CID: cid.NewCidV0(c.Hash()), Owner: "alice", Name: "my archive", Mode: Direct,
		Replication: Replication{Min: 2, Max: 3}, Tags: []string{"eu", "ssd"},
		Include: []peer.ID{peer.ID(mustHex(t, "002408011220"+strings.Repeat("00", 32)))},
		Size:    12345, Origins: []string{"/ip4/127.0.0.1/tcp/4001"},
		Metadata: map[string]string{"b": "2", "a": "1"},
		Created:  time.Unix(1700000000, 0).UTC(), ExpireAt: time.Unix(1800000000, 0).UTC(),
	}
}

func mustHex(t testing.TB, s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var pinEqual = cmp.Options{cmpopts.IgnoreUnexported(Pin{}), cmp.Comparer(cid.Cid.Equals)}

func TestPinSurvivesItsEncoding(t *testing.T) {
	for name, p := range map[string]Pin{
		"smallest":   {CID: testCID(t, 2)},
		"full":       fullPin(t),
		"bulk":       {CID: testCID(t, 4), Priority: PriorityBulk},
		"everywhere": {CID: testCID(t, 3), Replication: Replication{Everywhere, Everywhere}},
	} {
		b, err := p.Encode()
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := Check(p.Key(), b)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(p, got, pinEqual); diff != "" {
			t.Errorf("%s: Check: %s", name, diff)
		}
		if got, err = Decode(p.Key(), b); err != nil || !cmp.Equal(p, got, pinEqual) {
			t.Errorf("%s: Decode: %v %v", name, got, err)
		}
	}
}

func TestPinEncodingIsGolden(t *testing.T) {
	b, err := fullPin(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = "ac6261741a6553f100627630f5636d617803636d696e02646d657461a26161613161626132646e616d656a6d79206172636869766564" +
		"73697a6519303964746167738262657563737364666469726563" + "74f5"
	if got := hex.EncodeToString(b); !strings.HasPrefix(got, want) {
		t.Errorf("the replicated encoding of a pin changed:\n got %s\nwant %s…", got, want)
	}
}

func TestFieldsOfNewerPeersAreKept(t *testing.T) {
	p := Pin{CID: testCID(t, 4), Name: "x"}
	b, _ := canon.Marshal(map[string]any{"name": "x", "colour": "red"})
	got, err := Check(p.Key(), b)
	if err != nil {
		t.Fatal(err)
	}
	got.Name = "y"
	out, err := got.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := canon.Marshal(map[string]any{"name": "y", "colour": "red"})
	if !cmp.Equal(out, want) {
		t.Errorf("got %x, want %x", out, want)
	}
}

func TestCheckRefusesASecondEncoding(t *testing.T) {
	p := Pin{CID: testCID(t, 5)}
	b, _ := canon.Marshal(map[string]any{"v0": false})
	if _, err := Check(p.Key(), b); err == nil {
		t.Errorf("Check passed %x", b)
	}
}

func TestKeysHaveOneSpelling(t *testing.T) {
	c := testCID(t, 6)
	v0 := cid.NewCidV0(c.Hash())
	if Key(c, "") != Key(v0, "") {
		t.Error("two spellings of one CID have two keys")
	}
	for _, owner := range []string{"", "alice", "o", "-", "ünal", strings.Repeat("x", MaxOwner)} {
		gc, go_, err := ParseKey(Key(c, owner))
		if err != nil || !gc.Equals(c) || go_ != owner {
			t.Errorf("owner %q: %v %q %v", owner, gc, go_, err)
		}
	}
	good := Key(c, "alice")
	for _, bad := range []string{
		"", "/p/", "/q" + good[2:], good + "/", good + "=", strings.ToUpper(good), "/p/" + v0.String() + "/-",
		"/p/" + c.String() + "/o", "/p/" + c.String() + "/x", "/p/" + c.String() + "/--", "/p/../" + c.String() + "/-",
		"/p//" + c.String(), "/p/" + c.String(), Key(c, strings.Repeat("x", MaxOwner+1)),
	} {
		if _, _, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey passed %q", bad)
		}
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Pin)
		want string
	}{
		{"no cid", func(p *Pin) { p.CID = cid.Undef }, "cid"},
		{"long name", func(p *Pin) { p.Name = strings.Repeat("x", 201) }, "201 bytes: at most 200"},
		{"not utf-8", func(p *Pin) { p.Name = "\xff" }, "UTF-8"},
		{"zero copies", func(p *Pin) { p.Replication = Replication{0, 2} }, "0..2"},
		{"min above max", func(p *Pin) { p.Replication = Replication{3, 2} }, "above"},
		{"copies below none", func(p *Pin) { p.Replication = Replication{-3, -3} }, "replication -3: want at least 1, or -1"},
		{"half everywhere", func(p *Pin) { p.Replication = Replication{-1, 2} }, "-1..2"},
		{"unsorted tags", func(p *Pin) { p.Tags = []string{"b", "a"} }, "sorted"},
		{"tag with space", func(p *Pin) { p.Tags = []string{"a b"} }, "a b"},
		{"long owner", func(p *Pin) { p.Owner = strings.Repeat("x", 65) }, "owner"},
	} {
		p := fullPin(t)
		tc.edit(&p)
		err := p.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.want) || KindOf(err) != KindInvalid {
			t.Errorf("%s: got %v, want an invalid error with %q", tc.name, err, tc.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]uint64{
		"0": 0, "12": 12, "500GB": 500e9, "500 gb": 500e9, "1.5TB": 15e11, "2TiB": 2 << 40, "1k": 1000, "7B": 7, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "GB", "-1", "1XB", "1e400", "NaN", "inf", "10EB", "1 2 GB"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
	for in, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 611_000_000_000: "611 GB", 1_536_000: "1.54 MB", 999_999: "1 MB", 14_200_000_000_000: "14.2 TB"} {
		if got := FormatSize(in); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestStatusNamesRoundTrip(t *testing.T) {
	for s := StatusUndefined; s <= StatusClusterError; s++ {
		if got, err := ParseStatus(s.String()); err != nil || got != s {
			t.Errorf("%v: %v %v", s, got, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	p := fullPin(f)
	b, _ := p.Encode()
	f.Add(p.Key(), b)
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		p, err := Check(key, value)
		if err != nil {
			return
		}
		if again, err := p.Encode(); err != nil || string(again) != string(value) || p.Key() != key {
			t.Fatalf("%q %x passed, and encodes as %q %x, %v", key, value, p.Key(), again, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	p := Pin{CID: testCID(b, 1), Name: "holiday pictures 2019", Created: time.Unix(1.7e9, 0).UTC(), Size: 123456789}
	v, _ := p.Encode()
	k := p.Key()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(k, v); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNearestFindsWhatWasMeant(t *testing.T) {
	words := []string{"name", "give", "ipfs.node", "api.listen", "auto"}
	for given, want := range map[string]string{"nmae": "name", "ipfs_node": "ipfs.node", "api.listn": "api.listen", "zzz": "", "foo": "", "": "", "give": "give"} {
		if got := Nearest(given, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", given, got, want)
		}
	}
}
