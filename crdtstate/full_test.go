//go:build unix

package crdtstate_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/pinset"
)

// TestNearlyFullDisk: below the reserve nothing is written and everything can be
// read; with room again, writing goes on.
func TestNearlyFullDisk(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 2)
	var free atomic.Uint64
	free.Store(1 << 40)
	db := kv.NewMemory()
	s, err := crdtstate.OpenOver(c.Config(0), func() (kv.DB, error) { return db, nil },
		func() (uint64, error) { return free.Load(), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.Enter(s, 0)
	c.Commit(s, crdtstatetest.PinOp(crdtstatetest.Pin(1)))
	other := c.Open(1)
	c.Pull(other, s)
	c.Enter(other, 1)

	free.Store(1 << 20)
	_, err = s.Commit(ctx, crdtstatetest.PinOp(crdtstatetest.Pin(2)))
	if pinset.KindOf(err) != pinset.KindUnavailable || !strings.Contains(err.Error(), "disk full") || pinset.HintOf(err) == "" {
		t.Errorf("commit: %v", err)
	}
	if n, err := crdtstatetest.Deliver(ctx, s, other); n != 0 || pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("receive: %d, %v", n, err)
	}
	if h := s.Health(); len(h) != 1 || h[0].Code != "state-disk-full" {
		t.Errorf("health %+v", h)
	}
	if _, err := s.Pin(ctx, crdtstatetest.CID(1), ""); err != nil {
		t.Errorf("read: %v", err)
	}
	check(t, s)

	free.Store(1 << 40)
	if h := s.Health(); len(h) != 0 {
		t.Errorf("health with room again, and nobody has written yet: %+v", h)
	}
	c.Commit(s, crdtstatetest.PinOp(crdtstatetest.Pin(2)))
	c.Pull(s, other)
	check(t, s)
}

const squeezedEnv = "PINFOLD_TEST_SQUEEZED"

// squeezed is a process whose files may not grow beyond a limit: the writes that a
// full disk refuses, without filling a disk.
func squeezed(spec string) {
	store, dir, _ := strings.Cut(spec, ":")
	c := crdtstatetest.New(keyMaker{}, 1)
	cfg := c.Config(0)
	cfg.Store, cfg.Dir = store, dir
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit(1 << 20)
	n, failed := 0, error(nil)
	for failed == nil && n < 100_000 {
		_, failed = s.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(n)))
		n++
	}
	if pinset.KindOf(failed) != pinset.KindUnavailable {
		fmt.Println("refused with:", failed)
	}
	if _, err := s.Pin(context.Background(), crdtstatetest.CID(0), ""); err != nil {
		fmt.Println("read while full:", err)
	}
	for range 3 {
		if _, err := s.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(n))); err == nil {
			break // reopening may have made a new, smaller file
		} else if pinset.KindOf(err) != pinset.KindUnavailable {
			fmt.Println("refused again with:", err)
		}
	}
	limit(1 << 40)
	for range 20 {
		if _, failed = s.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(n))); failed == nil {
			break
		}
	}
	if failed != nil {
		fmt.Println("with room again:", failed)
	}
	if err := s.Close(); err != nil {
		fmt.Println("close:", err)
	}
	fmt.Println("acknowledged", n-1)
}

func limit(bytes uint64) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		panic(err)
	}
	l.Cur = min(bytes, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		panic(err)
	}
}

// TestWritesThatTheDiskRefuses: nothing acknowledged is lost, nothing is damaged,
// and writing goes on when the disk takes it again.
func TestWritesThatTheDiskRefuses(t *testing.T) {
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
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
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), squeezedEnv+"="+store+":"+cfg.Dir)
			var stderr bytes.Buffer // badger's own log, or a stack
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			var n int
			if _, scanErr := fmt.Sscanf(string(out), "acknowledged %d\n", &n); err != nil || scanErr != nil {
				t.Fatalf("%v\n%s\n%.3000s", err, out, stderr.String())
			}
			s = openOnDisk(t, cfg)
			check(t, s)
			for i := range n {
				if _, err := s.Pin(context.Background(), crdtstatetest.CID(i), ""); err != nil {
					t.Fatalf("acknowledged pin %d of %d: %v", i, n, err)
				}
			}
			t.Logf("%d acknowledged before the disk refused", n)
		})
	}
}
