package tracker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// liar is a Kubo as its RPC shows it, which does as told: misbehave takes over a
// call where it returns true.
type liar struct {
	mu        sync.Mutex
	pins      map[string]string // CID to name
	calls     map[string]int
	twice     []string // pinned again though pinned under that name
	misbehave func(l *liar, w http.ResponseWriter, r *http.Request, call string, c string) bool
}

func (l *liar) behave(f func(l *liar, w http.ResponseWriter, r *http.Request, call string, c string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.misbehave = f
}

func (l *liar) pinned(c string) (name string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, ok = l.pins[c]
	return name, ok
}

func (l *liar) called(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[call]
}

func (l *liar) pin(c, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pins[c] == name {
		l.twice = append(l.twice, c)
	}
	l.pins[c] = name
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, q := strings.TrimPrefix(r.URL.Path, "/api/v0/"), r.URL.Query()
	c := q.Get("arg")
	l.mu.Lock()
	l.calls[call]++
	misbehave := l.misbehave
	l.mu.Unlock()
	w.Header().Set("Trailer", "X-Stream-Error")
	if misbehave != nil && misbehave(l, w, r, call, c) {
		return
	}
	refuse := func(text string) {
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]any{"Message": text, "Code": 0, "Type": "error"})
	}
	name, ok := l.pinned(c)
	switch call {
	case "version":
		io.WriteString(w, `{"Version":"0.42.0"}`+"\n")
	case "repo/stat":
		io.WriteString(w, `{"RepoSize":1000,"StorageMax":1000000000000}`+"\n")
	case "pin/ls":
		if c == "" && q.Get("type") == "recursive" {
			l.list(w)
		} else if c != "" && ok && q.Get("type") == "recursive" {
			fmt.Fprintf(w, `{"Cid":%q,"Name":%q,"Type":"recursive"}`+"\n", c, name)
		} else if c != "" {
			refuse(fmt.Sprintf("path '%s' is not pinned", c))
		}
	case "pin/add":
		l.pin(c, q.Get("name"))
		fmt.Fprintf(w, `{"Progress":1,"Bytes":100}`+"\n"+`{"Pins":[%q]}`+"\n", c)
	case "pin/rm":
		if !ok {
			refuse("not pinned or pinned indirectly")
			return
		}
		l.mu.Lock()
		delete(l.pins, c)
		l.mu.Unlock()
		fmt.Fprintf(w, `{"Pins":[%q]}`+"\n", c)
	case "dag/stat":
		io.WriteString(w, `{"UniqueBlocks":1,"TotalSize":100}`+"\n")
	default:
		refuse("not here")
	}
}

func (l *liar) list(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, name := range l.pins {
		fmt.Fprintf(w, `{"Cid":%q,"Name":%q,"Type":"recursive"}`+"\n", c, name)
	}
}

// liarRig is a tracker over the real client over a liar.
type liarRig struct {
	*rig
	liar *liar
	srv  *httptest.Server
}

func newLiarRig(t *testing.T) *liarRig {
	l := &liar{pins: map[string]string{}, calls: map[string]int{}}
	srv := httptest.NewServer(l)
	client, err := ipfsclient.New(ipfsclient.Config{API: srv.URL, Silence: 300 * time.Millisecond, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r := &liarRig{rig: newRig(t), liar: l, srv: srv}
	r.cfg.CallTime, r.cfg.Patience, r.cfg.WaitingTime = 5*time.Second, 5*time.Second, 5*time.Second
	r.deps = func(d *Deps) { d.Node = client }
	r.start()
	t.Cleanup(func() {
		r.stop()
		srv.CloseClientConnections()
		srv.Close()
	})
	return r
}

// await looks, and asks for another try, until a pin is as wanted.
func (r *liarRig) await(what string, ok func(pinset.Local) bool, c cid.Cid) {
	r.t.Helper()
	until(r.t, what, func() bool {
		if err := r.RecoverAll(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		return ok(r.status(c))
	})
}

func is(s pinset.Status) func(pinset.Local) bool {
	return func(l pinset.Local) bool { return l.Status == s }
}

func failsWith(s pinset.Status, text string) func(pinset.Local) bool {
	return func(l pinset.Local) bool { return l.Status == s && strings.Contains(l.Error, text) }
}

type misdeed = func(l *liar, w http.ResponseWriter, r *http.Request, call string, c string) bool

// on misbehaves in one call.
func on(call string, f func(l *liar, w http.ResponseWriter, r *http.Request, c string)) misdeed {
	return func(l *liar, w http.ResponseWriter, r *http.Request, at string, c string) bool {
		if at == call {
			f(l, w, r, c)
		}
		return at == call
	}
}

func trailer(text string, lines ...string) func(*liar, http.ResponseWriter, *http.Request, string) {
	return func(_ *liar, w http.ResponseWriter, _ *http.Request, _ string) {
		for _, line := range lines {
			io.WriteString(w, line+"\n")
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-Stream-Error", text)
	}
}

// hangUp breaks the connection off.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

// What a Kubo may do to a pin that it is asked for, and what is said of it then.
// Afterwards it is honest, and the pin is there, once.
func TestKuboMisbehavesWhenItPins(t *testing.T) {
	for _, tc := range []struct {
		name string
		bad  misdeed
		says func(pinset.Local) bool
		away bool // it counts as a node that is away
	}{
		{"200 without effect", on("pin/add", func(_ *liar, w http.ResponseWriter, _ *http.Request, c string) {
			fmt.Fprintf(w, `{"Pins":[%q]}`+"\n", c)
		}),
			failsWith(pinset.StatusPinError, ""), false},
		{"200 and nothing", on("pin/add", func(*liar, http.ResponseWriter, *http.Request, string) {}), nil, true},
		{"200 and a page", on("pin/add", func(_ *liar, w http.ResponseWriter, _ *http.Request, _ string) {
			io.WriteString(w, "<html>It works!</html>")
		}), nil, true},
		{"an error in the trailer", on("pin/add", trailer("pin: merkledag: not found", `{"Progress":3,"Bytes":9}`)),
			failsWith(pinset.StatusPinError, "merkledag: not found"), false},
		{"pinned, and an error in the trailer", on("pin/add", trailer("pin: the disk is full", `{"Pins":["x"]}`)),
			failsWith(pinset.StatusPinError, "the disk is full"), false},
		{"an error", on("pin/add", func(_ *liar, w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"Message":"pin: not today","Code":0,"Type":"error"}`)
		}), failsWith(pinset.StatusPinError, "not today"), false},
		{"it restarts under way", on("pin/add", func(_ *liar, w http.ResponseWriter, _ *http.Request, _ string) { hangUp(w) }), nil, true},
		{"its answer is lost", on("pin/add", func(l *liar, w http.ResponseWriter, r *http.Request, c string) {
			l.pin(c, r.URL.Query().Get("name"))
			hangUp(w)
		}), is(pinset.StatusPinned), false},
		{"it hangs when asked to pin", on("pin/add", func(_ *liar, _ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() }),
			failsWith(pinset.StatusPinError, "it fell silent"), false},
		{"it does it late", on("pin/add", func(l *liar, _ http.ResponseWriter, r *http.Request, c string) {
			<-r.Context().Done() // who asked gave up
			l.pin(c, r.URL.Query().Get("name"))
		}), is(pinset.StatusPinned), false},
		{"it hangs when asked what is pinned", on("pin/ls", func(_ *liar, _ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() }), nil, true},
		{"it answers for another CID", on("pin/ls", func(_ *liar, w http.ResponseWriter, _ *http.Request, c string) {
			fmt.Fprintf(w, `{"Cid":%q,"Name":"","Type":"recursive"}`+"\n", testCID(77))
		}), nil, true},
		{"all that it has is pinned, it says", on("pin/ls", func(_ *liar, w http.ResponseWriter, _ *http.Request, c string) {
			io.WriteString(w, "{}\n")
		}), nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newLiarRig(t)
			r.liar.behave(tc.bad)
			c := testCID(1)
			r.sets.pin(pinAt(c, "x"))
			if tc.away {
				until(t, "it counts as away", func() bool {
					h := r.Health()
					return len(h) > 0 && h[0].Code == "ipfs-away"
				})
			}
			if tc.says != nil {
				r.await("it is said", tc.says, c)
			}
			if _, there := r.liar.pinned(c.String()); !there && (r.status(c).Status == pinset.StatusPinned || r.Report().Items > 0) {
				t.Errorf("said to be pinned: %+v", r.status(c))
			}
			r.liar.behave(nil)
			r.await("pinned when it is honest", is(pinset.StatusPinned), c)
			if name, _ := r.liar.pinned(c.String()); name != r.MarkName("x") {
				t.Errorf("pinned as %q", name)
			}
			if len(r.liar.twice) > 0 && tc.name != "its answer is lost" { // then it may be asked again
				t.Errorf("pinned twice: %v", r.liar.twice)
			}
		})
	}
}

// What it may do when it is asked to let go.
func TestKuboMisbehavesWhenItUnpins(t *testing.T) {
	for _, tc := range []struct {
		name string
		bad  misdeed
	}{
		{"200 without effect", on("pin/rm", func(_ *liar, w http.ResponseWriter, _ *http.Request, c string) {
			fmt.Fprintf(w, `{"Pins":[%q]}`+"\n", c)
		})},
		{"an error in the trailer", on("pin/rm", trailer("pin: not today"))},
		{"it hangs", on("pin/rm", func(_ *liar, _ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() })},
		{"it restarts under way", on("pin/rm", func(_ *liar, w http.ResponseWriter, _ *http.Request, _ string) { hangUp(w) })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newLiarRig(t)
			c := testCID(1)
			r.sets.pin(pinAt(c, "x"))
			r.await("pinned", is(pinset.StatusPinned), c)
			r.liar.behave(tc.bad)
			r.sets.unpin(c, "")
			until(t, "it was asked to let go", func() bool { return r.liar.called("pin/rm") > 0 })
			until(t, "and again", func() bool {
				_ = r.RecoverAll(t.Context())
				if l := r.status(c); l.Status == pinset.StatusUnpinned {
					t.Errorf("said to be unpinned: %+v", l)
					return true
				}
				return r.liar.called("pin/rm") > 1
			})
			r.liar.behave(nil)
			r.await("unpinned when it is honest", is(pinset.StatusUnpinned), c)
			if name, there := r.liar.pinned(c.String()); there {
				t.Errorf("still pinned as %q", name)
			}
		})
	}
}

// A list that breaks off, or leaves out what is there, is no loss: what it lacks is
// looked at before anything is said or done.
func TestKuboMisbehavesWhenItLists(t *testing.T) {
	for _, tc := range []struct {
		name string
		list func(*liar, http.ResponseWriter, *http.Request)
	}{
		{"an empty list", func(*liar, http.ResponseWriter, *http.Request) {}},
		{"an error in the trailer", func(l *liar, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Stream-Error", "pin: index is broken")
		}},
		{"it breaks off", func(_ *liar, w http.ResponseWriter, _ *http.Request) { hangUp(w) }},
		{"it breaks off in a line", func(_ *liar, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Cid":"baf`) }},
		{"it hangs", func(_ *liar, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"an error", func(_ *liar, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newLiarRig(t)
			for i := range uint64(5) {
				r.sets.pin(pinAt(testCID(i), "x"))
			}
			until(t, "all pinned", func() bool { return r.Report().Items == 5 && r.Report().Ready })
			before := r.liar.called("pin/add")
			r.liar.behave(func(l *liar, w http.ResponseWriter, req *http.Request, call, c string) bool {
				if call != "pin/ls" || c != "" || req.URL.Query().Get("type") != "recursive" {
					return false
				}
				tc.list(l, w, req)
				return true
			})
			lists := r.liar.called("pin/ls")
			until(t, "swept", func() bool {
				_ = r.RecoverAll(t.Context())
				return r.liar.called("pin/ls") > lists+8
			})
			r.liar.behave(nil)
			until(t, "all is well", func() bool {
				_ = r.RecoverAll(t.Context())
				return r.Report().Items == 5 && r.Report().Missing == 0 && len(r.Health()) == 0
			})
			if n := r.liar.called("pin/add") - before; n > 0 || r.liar.called("pin/rm") > 0 {
				t.Errorf("%d pins asked for, %d removals", n, r.liar.called("pin/rm"))
			}
		})
	}
}
