package sim

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func logger() *slog.Logger {
	if os.Getenv("SIM_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func TestTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(10 * time.Millisecond)
		defer w.Close()
		c, a, err := NewClub(w, 1, "memory", "", logger())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer a.Stop()
		if err := a.Enrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := c.NewPeer(1, "")
		if err != nil {
			t.Fatal(err)
		}
		b.Seen = append(b.Seen, a.Info())
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer b.Stop()
		t0 := time.Now()
		for b.State.Summary().Blocks == 0 && time.Since(t0) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		t.Log(time.Since(t0), b.State.Summary())
		if err := b.Enrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		t0 = time.Now()
		for b.State.Summary().Digest != a.State.Summary().Digest && time.Since(t0) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		t.Log(time.Since(t0), b.State.Summary(), a.State.Summary())
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
}
