//go:build unix

package crdtstate_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
)

// The test binary runs itself as the process that is killed.
const victimEnv = "PINFOLD_TEST_VICTIM"

func TestMain(m *testing.M) {
	if spec := os.Getenv(victimEnv); spec != "" {
		victim(spec)
		return
	}
	if spec := os.Getenv(measuredEnv); spec != "" {
		measured(spec)
		return
	}
	if spec := os.Getenv(squeezedEnv); spec != "" {
		squeezed(spec)
		return
	}
	os.Exit(m.Run())
}

const writers = 4

// victim writes until it is killed. It says what it begins and what was
// acknowledged: "b <writer> <pin> <name>" and "a <writer> <pin>"; an empty name is
// a removal. "h <cid>" is an announced head.
func victim(spec string) {
	store, rest, _ := strings.Cut(spec, ":")
	seed, dir, _ := strings.Cut(rest, ":")
	n, _ := strconv.ParseInt(seed, 10, 64)
	t := keyMaker{}
	c := crdtstatetest.New(t, 1)
	cfg := c.Config(0)
	cfg.Store, cfg.Dir = store, dir
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for a := range s.Announcements() {
			say("h %s", a.Head)
		}
	})
	for w := range writers {
		wg.Go(func() { write(s, rand.New(rand.NewSource(n+int64(w))), w, say) })
	}
	wg.Wait()
}

func write(s *crdtstate.State, rng *rand.Rand, w int, say func(string, ...any)) {
	for step := 0; ; step++ {
		var ops []crdtstate.Op
		var begun, acked []string
		for range 1 + rng.Intn(40) {
			n := w + writers*rng.Intn(500)
			p := crdtstatetest.Pin(n)
			p.Name = fmt.Sprintf("%d.%d.%d", w, step, rng.Int31())
			op := crdtstatetest.PinOp(p)
			if rng.Intn(4) == 0 {
				op, p.Name = crdtstatetest.UnpinOp(p), ""
			}
			ops = append(ops, op)
			begun = append(begun, fmt.Sprintf("b %d %d %s", w, n, p.Name))
			acked = append(acked, fmt.Sprintf("a %d %d", w, n))
		}
		say("%s", strings.Join(begun, "\n"))
		if _, err := s.Commit(context.Background(), ops...); err != nil {
			say("error %v", err)
			return
		}
		say("%s", strings.Join(acked, "\n"))
	}
}

// ledger is what the victim said.
type ledger struct {
	possible map[int][]string // names a pin may have now; "" is removed
	heads    []cid.Cid
	acked    int
}

func (l *ledger) read(t *testing.T, r io.Reader) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		kind, rest, _ := strings.Cut(sc.Text(), " ")
		f := append(strings.SplitN(rest, " ", 3), "", "")
		n, _ := strconv.Atoi(f[1])
		switch kind {
		case "b":
			if len(l.possible[n]) == 0 {
				l.possible[n] = []string{""}
			}
			l.possible[n] = append(l.possible[n], f[2])
		case "a": // the newest begun is there, for certain
			names := l.possible[n]
			l.possible[n] = names[len(names)-1:]
			l.acked++
		case "h":
			c, err := cid.Decode(rest)
			if err != nil {
				return // the line was cut off by the kill
			}
			l.heads = append(l.heads, c)
		default:
			t.Errorf("the victim says: %s", sc.Text())
		}
	}
}

// TestKill (I7, I8): after kill -9 at any moment every acknowledged change and
// every announced head is there, and the state is the replay of its log.
func TestKill(t *testing.T) {
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			rounds := 4
			if testing.Short() {
				rounds = 2
			}
			c := crdtstatetest.New(t, 1)
			cfg := onDisk(t, c, 0, store)
			s, err := crdtstate.Open(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			c.Enter(s, 0)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			l := &ledger{possible: map[int][]string{}}
			for round := range rounds {
				kill(t, l, store, cfg.Dir, round)
				began := time.Now()
				s, err := crdtstate.Open(context.Background(), cfg)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				t.Logf("round %d: %d acknowledged, %v, opened in %v", round, l.acked, s.Summary(), time.Since(began).Round(time.Millisecond))
				check(t, s)
				l.check(t, s)
				if h := s.Health(); len(h) != 0 {
					t.Errorf("round %d: health %+v", round, h)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if l.acked == 0 {
				t.Error("nothing was acknowledged")
			}
		})
	}
}

func kill(t *testing.T, l *ledger, store, dir string, round int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d:%s", victimEnv, store, round*1000, dir))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Duration(300+rand.Intn(700))*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	l.read(t, out)
	_ = cmd.Wait() // it was killed
	if stderr.Len() > 0 {
		t.Errorf("the victim complains: %s", stderr.String())
	}
}

// check also forgets what a half-made group left possible: the state has decided.
func (l *ledger) check(t *testing.T, s *crdtstate.State) {
	t.Helper()
	have := map[string]string{}
	for p, err := range s.Pins(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		have[p.CID.KeyString()] = p.Name
	}
	for n, names := range l.possible {
		got := have[crdtstatetest.CID(n).KeyString()]
		ok := false
		for _, name := range names {
			ok = ok || name == got
		}
		if !ok {
			t.Errorf("I7: pin %d is %q; acknowledged or begun was %q", n, got, names)
		}
		l.possible[n] = []string{got}
	}
	for _, h := range l.heads {
		if ok, err := s.Known(context.Background(), h); err != nil || !ok {
			t.Errorf("I7: announced head %s: known %v, %v", h, ok, err)
		}
	}
	l.heads = nil
	log, err := s.LogBlocks()
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range log {
		if b.Seq != uint64(i+1) {
			t.Fatalf("I8: own delta %d has the number %d", i+1, b.Seq)
		}
	}
}

// keyMaker lets the victim make the cluster's keys, which are the same in every
// process, outside a test.
type keyMaker struct{ testing.TB }

func (keyMaker) Helper() {}

func (keyMaker) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
