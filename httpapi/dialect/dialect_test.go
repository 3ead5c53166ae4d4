package dialect

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testCID(version uint64, text string) cid.Cid {
	h, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	if version == 0 {
		return cid.NewCidV0(h)
	}
	return cid.NewCidV1(cid.Raw, h)
}

func testPeer(text string) peer.ID {
	h, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return peer.ID(h)
}

// pinOf is the struct that Encoder.Pin stands in for.
func pinOf(p PinReply) pinObject {
	o := pinObject{
		Min: p.Replication.Min, Max: p.Replication.Max, Name: p.Name, Mode: p.Mode.String(),
		Include: encodePeers(p.Include), ExpireAt: p.ExpireAt, Metadata: p.Metadata, Origins: list(p.Origins),
		CID: p.CID.String(), Type: "pin", Allocations: encodePeers(p.Allocations), MaxDepth: -1,
		Timestamp: p.Created, Owner: p.Owner, Tags: p.Tags, Size: p.Size,
	}
	if o.Metadata == nil {
		o.Metadata = map[string]string{}
	}
	if p.Mode == pinset.Direct {
		o.MaxDepth = 0
	}
	if p.Priority != pinset.PriorityNormal {
		o.Priority = p.Priority.String()
	}
	if p.Receipt.Seq != 0 {
		o.Receipt = &receiptObject{Author: p.Receipt.Author.String(), Seq: p.Receipt.Seq, Head: p.Receipt.Head.String()}
	}
	return o
}

func statusOf(s pinset.Summary) statusObject {
	o := statusObject{
		CID: s.CID.String(), Allocations: encodePeers(s.Allocation), Origins: []string{}, Metadata: map[string]string{},
		PeerMap: map[string]holdingObject{}, Min: s.Want.Min, Max: s.Want.Max, Copies: s.Copies, Short: s.Short, Reason: s.Reason, Since: s.Since, Pins: []pinObject{},
	}
	for i, p := range s.Pins {
		po := pinOf(PinReply{Pin: p})
		if i == 0 {
			o.Name, o.Origins, o.Created, o.Metadata = po.Name, po.Origins, po.Timestamp, po.Metadata
		}
		o.Pins = append(o.Pins, po)
	}
	for _, h := range s.Holdings {
		o.PeerMap[h.Peer.String()] = holdingObject{
			PeerName: h.Name, IPFS: encodePeer(h.IPFS), Status: h.Status.String(), Since: h.Since, Error: h.Error,
			Attempts: h.Attempts, Mode: h.Mode.String(), Blocks: h.Progress.Blocks, Bytes: h.Progress.Bytes, Size: h.Size,
			RetryAt: h.Retry, AgeMS: h.Age.Milliseconds(), Assigned: h.Assigned, Binding: h.Binding, Interim: h.Interim, Borrowed: h.Borrowed,
		}
	}
	return o
}

var texts = []string{"", "plain", "two words", `quo"te`, `back\slash`, "<script>&", "<", ">", "&", "tab\tnew\nline\x01\x7f", "žluťoučký", "\u2028\u2029", "😀", "%2f/.."}

func randomPin(r *rand.Rand) PinReply {
	pick := func() string { return texts[r.IntN(len(texts))] }
	p := PinReply{Pin: pinset.Pin{CID: testCID(uint64(r.IntN(2)), fmt.Sprint(r.IntN(1000))), Name: pick(), Owner: pick(), Mode: pinset.Mode(r.IntN(2)), Priority: pinset.Priority(max(0, r.IntN(6)-3))}}
	p.Replication = pinset.Replication{Min: r.IntN(4) - 1, Max: r.IntN(70000)}
	for range r.IntN(3) {
		p.Tags = append(p.Tags, pick()+"t")
		p.Include = append(p.Include, testPeer(pick()))
		p.Origins = append(p.Origins, pick())
		p.Allocations = append(p.Allocations, testPeer(pick()))
		if p.Metadata == nil {
			p.Metadata = map[string]string{}
		}
		p.Metadata[pick()] = pick()
	}
	if r.IntN(2) == 0 {
		p.Metadata = nil
	}
	if r.IntN(2) == 0 {
		p.Created = time.Unix(r.Int64N(4e9), 0).UTC()
		p.ExpireAt = time.Unix(r.Int64N(200e9), 0).UTC()
		p.Size = r.Uint64() >> r.IntN(64)
	}
	if r.IntN(4) == 0 {
		p.Receipt = pinset.Receipt{Author: testPeer("author"), Seq: r.Uint64N(1e9) + 1, Head: testCID(1, "head")}
	}
	return p
}

func randomSummary(r *rand.Rand) pinset.Summary {
	s := pinset.Summary{CID: testCID(1, fmt.Sprint(r.IntN(1000))), Copies: r.IntN(5), Short: r.IntN(3), Want: pinset.Replication{Min: 2, Max: 3}}
	if r.IntN(2) == 0 {
		s.Since = time.Unix(r.Int64N(4e9), 0).UTC()
	}
	for range r.IntN(3) {
		p := randomPin(r).Pin
		s.Pins = append(s.Pins, p)
	}
	for i := range r.IntN(5) {
		id := testPeer(fmt.Sprint("member", i))
		if r.IntN(2) == 0 {
			s.Allocation = append(s.Allocation, id)
		}
		h := pinset.Holding{Peer: id, Name: texts[r.IntN(len(texts))], Age: time.Duration(r.IntN(1e6)) * time.Millisecond, Assigned: r.IntN(2) == 0, Binding: r.IntN(2) == 0}
		h.Local = pinset.Local{CID: s.CID, Mode: pinset.Mode(r.IntN(2)), Status: pinset.Status(r.IntN(int(pinset.StatusClusterError) + 1)),
			Size: r.Uint64N(1e12), Attempts: r.IntN(9), Error: texts[r.IntN(len(texts))], Interim: r.IntN(2) == 0, Borrowed: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			h.IPFS, h.Since, h.Retry = testPeer("ipfs"), time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC(), time.Unix(r.Int64N(4e9), 0).UTC()
			h.Progress = pinset.Progress{Blocks: r.Uint64N(1000), Bytes: r.Uint64()}
		}
		s.Holdings = append(s.Holdings, h)
	}
	SortHoldings(s.Holdings, s.Allocation)
	return s
}

func TestPinIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	r, e := rand.New(rand.NewPCG(1, 2)), &Encoder{}
	for range 5000 {
		p := randomPin(r)
		want, err := json.Marshal(pinOf(p))
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Pin(nil, p); !bytes.Equal(got, want) {
			t.Fatalf("pin %+v\n got %s\nwant %s", p, got, want)
		}
	}
}

func TestPinSurvivesTheWire(t *testing.T) {
	r, e := rand.New(rand.NewPCG(3, 4)), &Encoder{}
	quick := 0
	for range 5000 {
		p := randomPin(r)
		line := e.Pin(nil, p)
		got, err := DecodePin(line)
		if err != nil {
			t.Fatalf("read %s: %v", line, err)
		}
		if diff := cmp.Diff(p, got, cmpopts.IgnoreUnexported(pinset.Pin{}), cmp.Comparer(cid.Cid.Equals)); diff != "" {
			t.Fatalf("%s\n(-sent +read)\n%s", line, diff)
		}
		if _, ok := scanPin(line); ok {
			quick++
		}
	}
	if quick < 50 {
		t.Errorf("the quick reader took %d of 5000 pins: it has lost the layout", quick)
	}
}

func TestQuickReaderTakesPlainPins(t *testing.T) {
	for _, version := range []uint64{0, 1} {
		p := PinReply{Pin: pinset.Pin{CID: testCID(version, "x"), Name: "holiday 2024", Tags: []string{"eu", "ssd"}, Size: 12,
			Created: time.Unix(1.7e9, 0).UTC(), Include: []peer.ID{testPeer("a")}}}
		line := (&Encoder{}).Pin(nil, p)
		if _, ok := scanPin(append(line, '\n')); !ok {
			t.Errorf("CIDv%d: %s: left to encoding/json", version, line)
		}
	}
}

func TestStatusIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	r, e := rand.New(rand.NewPCG(5, 6)), &Encoder{}
	for range 2000 {
		s := randomSummary(r)
		want, err := json.Marshal(statusOf(s))
		if err != nil {
			t.Fatal(err)
		}
		got := e.Status(nil, s)
		var a, b any
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if err := json.Unmarshal(want, &b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Fatalf("(-encoding/json +ours)\n%s", diff)
		}
		if len(got) != len(want) {
			t.Fatalf("%d bytes, encoding/json has %d\n%s\n%s", len(got), len(want), got, want)
		}
		back, err := DecodeStatus(got)
		if err != nil {
			t.Fatalf("read %s: %v", got, err)
		}
		if diff := cmp.Diff(s, back, cmpopts.IgnoreUnexported(pinset.Pin{}), cmp.Comparer(cid.Cid.Equals)); diff != "" {
			t.Fatalf("(-sent +read)\n%s", diff)
		}
	}
}

// FuzzDecodePin holds the quick reader to what encoding/json reads.
func FuzzDecodePin(f *testing.F) {
	r, e := rand.New(rand.NewPCG(7, 8)), &Encoder{}
	for range 50 {
		f.Add(e.Pin(nil, randomPin(r)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		quick, ok := scanPin(line)
		if !ok {
			_, _ = DecodePin(line)
			return
		}
		slow, err := decodePin(line)
		if err != nil {
			t.Fatalf("%q: quick reader took what encoding/json refuses: %v", line, err)
		}
		if diff := cmp.Diff(slow, quick, cmpopts.IgnoreUnexported(pinset.Pin{}), cmp.Comparer(cid.Cid.Equals)); diff != "" {
			t.Fatalf("%q (-encoding/json +quick)\n%s", line, diff)
		}
	})
}

func TestGolden(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	id, other := testPeer("self"), testPeer("other")
	pin := PinReply{Pin: pinset.Pin{CID: testCID(0, "file"), Name: "holiday", Owner: "alice", Tags: []string{"eu"}, Size: 1234, Replication: pinset.Replication{Min: 2, Max: 3},
		Include: []peer.ID{id}, Origins: []string{"/ip4/1.2.3.4/tcp/4001/p2p/" + id.String()}, Metadata: map[string]string{"k": "v"}, Created: at, ExpireAt: at.AddDate(1, 0, 0)},
		Allocations: []peer.ID{id, other}, Receipt: pinset.Receipt{Author: id, Seq: 7, Head: testCID(1, "head")}}
	status := pinset.Summary{CID: pin.CID, Pins: []pinset.Pin{pin.Pin}, Allocation: pin.Allocations, Want: pin.Replication, Copies: 1, Short: 1, Reason: "1 of 2 members have the tags", Holdings: []pinset.Holding{
		{Local: pinset.Local{Status: pinset.StatusPinned, Since: at, Size: 1234}, Peer: id, Name: "home", IPFS: testPeer("ipfs"), Assigned: true, Binding: true},
		{Local: pinset.Local{Status: pinset.StatusPinError, Since: at, Attempts: 2, Retry: at, Error: "no provider"}, Peer: other, Name: "bob", Age: time.Minute}}}
	member := pinset.Peer{ID: id, Name: "home", Self: true, Connected: true, Addresses: []string{"/ip4/1.2.3.4/tcp/9096"}, IPFS: pinset.NodeID{Peer: testPeer("ipfs"), Agent: "kubo/0.42.0"},
		Version: "0.1.0", State: "active", Role: "admin", Tags: []string{"eu"}, Domains: []string{"cz"}, Lent: 100, Used: 5, Phi: 65536, LastHeard: at, Pins: 3, Agrees: true, Exchange: &pinset.Exchange{FromMembers: 900, FromOthers: 100}}
	added := pinset.Added{Path: "a/b", CID: pin.CID, Size: 9}
	for name, v := range map[string]any{
		"pin":      json.RawMessage((&Encoder{}).Pin(nil, pin)),
		"pin_bare": json.RawMessage((&Encoder{}).Pin(nil, PinReply{Pin: pinset.Pin{CID: testCID(1, "file"), Mode: pinset.Direct}})),
		"status":   json.RawMessage((&Encoder{}).Status(nil, status)),
		"peer":     NewPeer(member, []peer.ID{id, other}),
		"added":    NewAdded(added),
		"progress": NewAdded(pinset.Added{Path: "a/b", Bytes: 4}),
		"link":     NewLink(pinset.Link{Name: "b", CID: pin.CID, Size: 9}),
		"agreement": NewAgreement(pinset.Agreement{Members: 3, Heard: 2, Agree: 1, Behind: []peer.ID{other}, Count: 5, Digest: "ab", Sync: "synchronising: 4 deltas",
			Sides: []pinset.Side{{Members: []peer.ID{id}, Heard: true, Count: 5, Digest: "ab"}, {Members: []peer.ID{other}, Heard: true, Since: at, Count: 6, Digest: "cd", Lacks: 2, Unknown: 1}}}),
		"removed": json.RawMessage((&Encoder{}).Removed(nil, pinset.Removed{Pin: pin.Pin, By: other, At: at, Until: at.AddDate(0, 1, 0)})),
		"merge":   NewMerge(pinset.Merge{Began: at, Ended: at, From: []pinset.MergeSource{{Author: other, Deltas: 3, Pinned: 2, Removed: 1}}, Contested: []pinset.Contest{{CID: pin.CID, Owner: "alice", Kept: true, Winner: id, Others: []peer.ID{other}}}, More: 1}),
		"invite":  NewInvite(pinset.Invite{Text: "pinfold-1-…", Addresses: []pinset.TestedAddress{{Address: "/ip4/1.2.3.4/tcp/9096", Public: true}}}),
		"problem": NewProblem(pinset.NotFound("pin %s: not in the pinset", pin.CID).WithHint("pinfold pin ls"), 0),
		"health":  Health{OK: true, Entries: []pinset.HealthEntry{{Code: "ipfs-away", Severity: pinset.SeverityWarning, Title: "the IPFS node does not answer", Do: "start it", Since: at}}},
		"alert":   Alert{Metric: Metric{Name: "ipfs-away", Peer: id.String()}, Triggered: at, Severity: "warning", Title: "t"},
		"version": Version{Version: "0.1.0", Software: "pinfold"},
		"graph":   Graph{Self: id.String(), Names: map[string]string{id.String(): "home"}, IPFSLinks: map[string][]string{}, Links: map[string][]string{id.String(): {other.String()}}, TrustLinks: map[string]bool{other.String(): true}, ToIPFS: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("(-golden +got), refresh with -update\n%s", diff)
			}
		})
	}
}

func TestSmallObjectsSurviveTheWire(t *testing.T) {
	p := pinset.Peer{ID: testPeer("a"), Name: "n", Connected: true, Addresses: []string{"/ip4/1.2.3.4/tcp/1"}, IPFS: pinset.NodeID{Peer: testPeer("i"), Addresses: []string{"/ip4/1.2.3.4/tcp/2"}, Agent: "kubo"},
		IPFSError: "away", Version: "1", State: "active", Role: "writer", Tags: []string{"t"}, Domains: []string{"d"}, Lent: 1, Used: 2, Phi: 3,
		LastHeard: time.Unix(1e9, 0).UTC(), Pins: 4, Agrees: true, Queued: 5, Error: "e", JoinedSync: "50 %", Self: true, Exchange: &pinset.Exchange{FromMembers: 1, FromOthers: 2, ToMembers: 3, ToOthers: 4}}
	raw, _ := json.Marshal(NewPeer(p, nil))
	var o Peer
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	if got, err := o.Value(); err != nil || cmp.Diff(p, got) != "" {
		t.Errorf("peer: %v\n%s", err, cmp.Diff(p, got))
	}
	a := pinset.Agreement{Members: 1, Heard: 2, Agree: 3, Behind: []peer.ID{testPeer("b")}, Silent: []peer.ID{testPeer("c")}, Count: 4, Digest: "d", Sync: "s",
		Sides: []pinset.Side{{Members: []peer.ID{testPeer("b")}, Heard: true, Since: time.Unix(1e9, 0).UTC(), Count: 1, Digest: "e", Lacks: 2, Unknown: 3}}}
	if got, err := NewAgreement(a).Value(); err != nil || cmp.Diff(a, got) != "" {
		t.Errorf("agreement: %v\n%s", err, cmp.Diff(a, got))
	}
}

func TestProblemKeepsKindMessageAndHint(t *testing.T) {
	for k := pinset.KindInternal; k <= pinset.KindTimeout; k++ {
		in := pinset.Errorf(k, "pin x: broken").WithHint("do this")
		raw, _ := json.Marshal(NewProblem(in, 0))
		out := DecodeProblem(k.Info().HTTP, raw)
		if pinset.KindOf(out) != k || out.Error() != in.Error() || pinset.HintOf(out) != "do this" {
			t.Errorf("kind %s came back as %s: %v (hint %q)", k.Info().Name, pinset.KindOf(out).Info().Name, out, pinset.HintOf(out))
		}
	}
}

func TestForeignErrorBodies(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		body   string
		kind   pinset.Kind
	}{
		{"ipfs-cluster's", 404, `{"code":404,"message":"not found"}`, pinset.KindNotFound},
		{"a proxy's page", 502, "<html>Bad Gateway", pinset.KindUnavailable},
		{"too large", 413, "", pinset.KindInvalid},
		{"empty object", 500, "{}", pinset.KindInternal},
	} {
		if err := DecodeProblem(row.status, []byte(row.body)); pinset.KindOf(err) != row.kind {
			t.Errorf("%s: %v is %s, want %s", row.name, err, pinset.KindOf(err).Info().Name, row.kind.Info().Name)
		}
	}
}

func BenchmarkEncodePin(b *testing.B) {
	p := PinReply{Pin: pinset.Pin{CID: testCID(1, "x"), Name: "item-000001", Created: time.Unix(1.7e9, 0).UTC(), Replication: pinset.Replication{Min: 2, Max: 3}}}
	var e Encoder
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Pin(buf[:0], p)
	}
}

func BenchmarkDecodePin(b *testing.B) {
	p := PinReply{Pin: pinset.Pin{CID: testCID(1, "x"), Name: "item-000001", Created: time.Unix(1.7e9, 0).UTC(), Replication: pinset.Replication{Min: 2, Max: 3}}}
	line := (&Encoder{}).Pin(nil, p)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodePin(line); err != nil {
			b.Fatal(err)
		}
	}
}
