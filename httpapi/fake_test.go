package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func testCID(text string) cid.Cid {
	h, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, h)
}

func testPeer(text string) peer.ID { return peer.ID(testCID(text).Hash()) }

// fake is a cluster of one peer in memory, and the daemon around it.
type fake struct {
	mu      sync.Mutex
	pins    map[string]pinset.Pin
	seq     uint64
	files   map[string]string // path to content
	changes int               // of anything
	joined  string
	copies  int
	rulings []string
	tokens  []Token
	err     error // of everything, when set

	pinsSeq   iter.Seq2[pinset.Pin, error]                         // instead of pins, when set
	addSeq    func(files.Directory) iter.Seq2[pinset.Added, error] // instead of Add's own
	entries   []pinset.HealthEntry
	statusSeq []pinset.Summary
	gone      []pinset.Removed
	merged    []pinset.Merge
	key       identity.Key // signs exports
	brought   []pinset.Pin // by imports
	mirrors   Mirrors
	foresight Foresight
	audit     Audit
	dial      func(context.Context, peer.ID) (net.Conn, error)
	queue     func(context.Context, int) (pinset.Queue, error)
	adopt     func(context.Context, cid.Cid) error
}

func newFake() *fake { return &fake{pins: map[string]pinset.Pin{}, files: map[string]string{}} }

func (f *fake) Cluster(context.Context) (*Cluster, error) {
	return &Cluster{ID: "bafycluster", Name: "home", Pinset: f, Statuses: f, Members: f, Data: f, Health: f, Spread: f, Mirrors: f.mirrors, Foresight: f.foresight, Audit: f.audit, Ruling: f, Policy: f, Transfer: f, Past: f, Dial: f.dial, Queue: f.queue, TakeOver: f.adopt,
		Allocate: func(pinset.Pin) []peer.ID { return []peer.ID{testPeer("self"), testPeer("bob")} }}, nil
}

func (f *fake) Join(_ context.Context, invite, name string, give uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	f.joined = fmt.Sprint(invite, "/", name, "/", give)
	return f.err
}

func (f *fake) Config(context.Context) ([]Setting, error) {
	return []Setting{{Key: "give", Value: "1 TB", Source: "file"}}, f.err
}

func (f *fake) Set(_ context.Context, settings map[string]string) ([]string, error) {
	f.changed()
	return []string{fmt.Sprint("set ", settings)}, f.err
}

func (f *fake) Tokens(context.Context) ([]Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tokens), f.err
}

func (f *fake) AddToken(_ context.Context, t Token, secret string) (string, Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	t.ID = fmt.Sprint("id", f.changes)
	f.tokens = append(f.tokens, t)
	if secret != "" || t.Peer != "" {
		return "", t, f.err
	}
	return "text of " + t.ID, t, f.err
}

func (f *fake) RevokeToken(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.tokens, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return pinset.NotFound("token %q", id)
	}
	f.changes++
	f.tokens = slices.Delete(f.tokens, i, i+1)
	return f.err
}

func (f *fake) Pause(_ context.Context, d time.Duration) error {
	return f.ruled("pause "+d.String(), testPeer("self"))
}
func (f *fake) Resume(context.Context) error { return f.ruled("resume", testPeer("self")) }

func (f *fake) Replace(_ context.Context, old, by peer.ID) error {
	return f.ruled("replace by "+by.String(), old)
}

func (f *fake) Drain(_ context.Context, id peer.ID) error   { return f.ruled("drain", id) }
func (f *fake) Undrain(_ context.Context, id peer.ID) error { return f.ruled("undrain", id) }
func (f *fake) SetRole(_ context.Context, id peer.ID, role string) error {
	return f.ruled("role "+role, id)
}

func (f *fake) ruled(what string, id peer.ID) error {
	f.changed()
	f.rulings = append(f.rulings, what+" "+id.String())
	return f.err
}

func (f *fake) Policy(context.Context) ([]pinset.Rule, error) {
	return []pinset.Rule{{Key: "grace", Value: "24h0m0s", Doc: "how long"}}, f.err
}

func (f *fake) SetPolicy(_ context.Context, rules map[string]string) error {
	f.changed()
	f.rulings = append(f.rulings, fmt.Sprint(rules))
	return f.err
}

func (f *fake) Pin(_ context.Context, p pinset.Pin) (pinset.Pin, pinset.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return pinset.Pin{}, pinset.Receipt{}, f.err
	}
	f.changes++
	f.seq++
	if p.Created.IsZero() {
		p.Created = time.Now().UTC().Truncate(time.Second)
	}
	f.pins[p.Key()] = p
	return p, pinset.Receipt{Author: testPeer("self"), Seq: f.seq, Head: testCID("head")}, nil
}

func (f *fake) Unpin(_ context.Context, r pinset.Removal) (pinset.Pin, pinset.Receipt, error) {
	c, owner := r.CID, r.Owner
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.pins[pinset.Key(c, owner)]
	if !ok {
		return p, pinset.Receipt{}, pinset.NotFound("pin %s of owner %q: not in the pinset", c, owner).WithHint("pinfold pin ls")
	}
	f.changes++
	f.seq++
	delete(f.pins, p.Key())
	return p, pinset.Receipt{Author: testPeer("self"), Seq: f.seq, Head: testCID("head")}, f.err
}

func (f *fake) Removed(_ context.Context, w pinset.RemovedFilter) iter.Seq2[pinset.Removed, error] {
	var out []pinset.Removed
	for _, r := range f.gone {
		if w.Match(&r) {
			out = append(out, r)
		}
	}
	return sequence(out, f.err)
}

func (f *fake) Restore(ctx context.Context, w pinset.RemovedFilter) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		for r, err := range f.Removed(ctx, w) {
			if err == nil {
				_, _, err = f.Pin(ctx, r.Pin)
			}
			if !yield(r.Pin, err) {
				return
			}
		}
	}
}

func (f *fake) Merges(context.Context) ([]pinset.Merge, error) { return f.merged, f.err }

func (f *fake) PinOf(_ context.Context, c cid.Cid, owner string) (pinset.Pin, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.pins[pinset.Key(c, owner)]; ok {
		return p, f.err
	}
	return pinset.Pin{}, pinset.NotFound("pin %s of owner %q: not in the pinset", c, owner)
}

func (f *fake) Pins(context.Context) iter.Seq2[pinset.Pin, error] {
	if f.pinsSeq != nil {
		return f.pinsSeq
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []pinset.Pin
	for _, k := range slices.Sorted(maps.Keys(f.pins)) {
		all = append(all, f.pins[k])
	}
	return sequence(all, f.err)
}

// sequence yields all and then, if there is one, err.
func sequence[T any](all []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

func (f *fake) Status(_ context.Context, c cid.Cid, local bool) (pinset.Summary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := pinset.Summary{CID: c, Copies: f.copies, Want: pinset.Replication{Min: 2, Max: 3}, Short: max(0, 2-f.copies), Allocation: []peer.ID{testPeer("self")}}
	for _, k := range slices.Sorted(maps.Keys(f.pins)) {
		if p := f.pins[k]; p.CID.Equals(c) {
			s.Pins = append(s.Pins, p)
		}
	}
	s.Holdings = []pinset.Holding{{Local: pinset.Local{CID: c, Status: pinset.StatusPinned}, Peer: testPeer("self"), Name: "me", Assigned: true}}
	if !local {
		s.Holdings = append(s.Holdings, pinset.Holding{Local: pinset.Local{CID: c, Status: pinset.StatusPinError, Error: "no provider", Attempts: 3}, Peer: testPeer("bob"), Name: "bob"})
	}
	return s, f.err
}

func (f *fake) StatusAll(ctx context.Context, local bool) iter.Seq2[pinset.Summary, error] {
	if f.statusSeq != nil {
		return sequence(f.statusSeq, f.err)
	}
	return func(yield func(pinset.Summary, error) bool) {
		seen := map[cid.Cid]bool{}
		for p, err := range f.Pins(ctx) {
			if err != nil {
				yield(pinset.Summary{}, err)
				return
			}
			if seen[p.CID] {
				continue
			}
			seen[p.CID] = true
			if s, err := f.Status(ctx, p.CID, local); !yield(s, err) {
				return
			}
		}
	}
}

func (f *fake) Recover(ctx context.Context, c cid.Cid) (pinset.Summary, error) {
	f.changed()
	return f.Status(ctx, c, false)
}

func (f *fake) RecoverAll(context.Context) error { f.changed(); return f.err }

func (f *fake) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

func (f *fake) Agreement(context.Context) (pinset.Agreement, error) {
	return pinset.Agreement{Members: 2, Heard: 2, Agree: 1, Behind: []peer.ID{testPeer("bob")}, Count: 5, Digest: "abcd"}, f.err
}

func (f *fake) Self(context.Context) (pinset.Peer, error) {
	return pinset.Peer{ID: testPeer("self"), Name: "me", Self: true, Connected: true, Version: "1", IPFS: pinset.NodeID{Peer: testPeer("ipfs")}, Lent: 100, Used: 30}, f.err
}

func (f *fake) Peers(ctx context.Context) iter.Seq2[pinset.Peer, error] {
	self, _ := f.Self(ctx)
	return sequence([]pinset.Peer{self, {ID: testPeer("bob"), Name: "bob", Connected: true, LastHeard: time.Unix(1.7e9, 0).UTC(), Share: 2500, Behind: 3, Twins: []peer.ID{testPeer("self")}}}, f.err)
}

func (f *fake) Invite(context.Context) (pinset.Invite, error) {
	f.changed()
	return pinset.Invite{Text: "pinfold-secret", Addresses: []pinset.TestedAddress{{Address: "/ip4/1.2.3.4/tcp/9096", Public: true}}}, f.err
}

func (f *fake) Capacity(context.Context) (pinset.Capacity, error) {
	return pinset.Capacity{Members: 2, Lent: 100, Used: 30, Usable: []pinset.Fit{{Replication: 1, Bytes: 100}, {Replication: 2, Bytes: 50}},
		Shared: [][]peer.ID{{testPeer("self"), testPeer("bob")}}}, f.err
}

func (f *fake) Leave(context.Context) error { f.changed(); return f.err }

func (f *fake) Health(context.Context) []pinset.HealthEntry { return f.entries }

func (f *fake) Seen(context.Context, pinset.Receipt) (int, error) { return 1, f.err }

// Add yields a line for each entry when it has read it, a directory after what is
// in it.
func (f *fake) Add(_ context.Context, dir files.Directory, o pinset.AddOptions, t pinset.Pin) iter.Seq2[pinset.Added, error] {
	if f.addSeq != nil {
		return f.addSeq(dir)
	}
	return func(yield func(pinset.Added, error) bool) {
		f.changed()
		if err := f.addDir(dir, "", yield); err != nil && !errors.Is(err, errStopped) {
			yield(pinset.Added{}, err)
		}
	}
}

var errStopped = errors.New("stopped")

func (f *fake) addDir(dir files.Directory, at string, yield func(pinset.Added, error) bool) error {
	it := dir.Entries()
	for it.Next() {
		name := path.Join(at, it.Name())
		var size uint64
		switch n := it.Node().(type) {
		case files.Directory:
			if err := f.addDir(n, name, yield); err != nil {
				return err
			}
		case files.File:
			content, err := io.ReadAll(n)
			if err != nil {
				return fmt.Errorf("add %s: %w", name, err)
			}
			size = uint64(len(content))
			f.mu.Lock()
			f.files[name] = string(content)
			f.mu.Unlock()
		}
		if !yield(pinset.Added{Path: name, CID: testCID(name), Size: size}, nil) {
			return errStopped
		}
	}
	return it.Err()
}

func (f *fake) Open(_ context.Context, p string) (files.Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if content, ok := f.files[p]; ok {
		return files.NewBytesFile([]byte(content)), nil
	}
	var under []files.DirEntry
	for name, content := range f.files {
		if rest, ok := strings.CutPrefix(name, p+"/"); ok {
			under = append(under, files.FileEntry(rest, files.NewBytesFile([]byte(content))))
		}
	}
	if under == nil {
		return nil, pinset.NotFound("path %s: there is no such name", p)
	}
	return files.NewSliceDirectory(under), nil
}

func (f *fake) List(_ context.Context, p string) iter.Seq2[pinset.Link, error] {
	var out []pinset.Link
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		if rest, ok := strings.CutPrefix(name, p+"/"); ok {
			out = append(out, pinset.Link{Name: rest, CID: testCID(rest), Size: uint64(len(f.files[name]))})
		}
	}
	if out == nil {
		return sequence(out, pinset.NotFound("path %s: there is no such name", p))
	}
	return sequence(out, f.err)
}

func (f *fake) GC(context.Context) iter.Seq2[cid.Cid, error] {
	f.changed()
	return sequence([]cid.Cid{testCID("a"), testCID("b")}, f.err)
}

// grants are the tokens of the tests.
func grants(_ context.Context, token string) (Grant, error) {
	scopes := map[string][]pinset.Scope{"admin": {pinset.ScopeAdmin}, "reader": {pinset.ScopeRead}, "pinner": {pinset.ScopePin}, "adder": {pinset.ScopeAdd},
		"alice": {pinset.ScopeRead, pinset.ScopePin}, "news": {pinset.ScopeRead, pinset.ScopePin, pinset.ScopeAdd}}
	g := Grant{User: token, Scopes: scopes[token]}
	switch token {
	case "alice":
		g.Owner = "alice"
	case "news":
		g.NamePrefix = "news/"
	}
	if g.Scopes == nil {
		return Grant{}, errors.New("unknown token")
	}
	return g, nil
}

// served is a running server over a fake.
type served struct {
	*fake
	socket, tcp string // as client.New takes them
	stop        func()
}

func serve(t testing.TB, cfg Config) *served {
	t.Helper()
	f := newFake()
	cfg.Socket, cfg.Listen, cfg.Version = filepath.Join(t.TempDir(), "api"), []string{"127.0.0.1:0"}, "1.2.3"
	s, err := New(cfg, Deps{Daemon: f, Authorise: grants, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "pinfold_pins 1") })})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return &served{fake: f, socket: s.Addrs()[0], tcp: s.Addrs()[1], stop: stop}
}

func (f *fake) Export(_ context.Context, w Exporter) error {
	if f.key.Private() == nil {
		return pinset.Errorf(pinset.KindUnavailable, "this fake has no key")
	}
	e := pinset.Export{Cluster: "bafycluster", Name: "home", By: f.key.ID(), At: time.Unix(1e9, 0).UTC()}
	sign := func(b []byte) []byte { s, _ := f.key.Private().Sign(b); return s }
	if err := w.Head(e, sign(e.Head())); err != nil {
		return err
	}
	var d pinset.ExportDigest
	for p := range f.Pins(context.Background()) {
		if err := errors.Join(d.Add(p), w.Pin(p)); err != nil {
			return err
		}
	}
	e.Pins, e.Digest = d.Sum()
	return errors.Join(w.End(e, sign(e.End())), f.err)
}

func (f *fake) Import(_ context.Context, lines iter.Seq2[pinset.ImportLine, error], o pinset.ImportOptions) (pinset.Import, error) {
	out := pinset.Import{DryRun: o.DryRun}
	for l, err := range lines {
		if err != nil {
			return out, err
		}
		if out.Lines++; l.Err != nil {
			out.Spoil(l.Line, l.Text, l.Err)
			continue
		}
		f.brought = append(f.brought, l.Pin)
		out.Added++
	}
	return out, f.err
}

func (f *fake) IsMember(id peer.ID) bool { return id == f.key.ID() }
