//go:build unix

package crdtstate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
)

const measuredEnv = "PINFOLD_TEST_MEASURED"

// measured is a process that opens a state and says how much memory is resident:
// before, after opening, and after listing all pins.
func measured(spec string) {
	store, dir, _ := strings.Cut(spec, ":")
	c := crdtstatetest.New(keyMaker{}, 2)
	cfg := c.Config(1)
	cfg.Store, cfg.Dir = store, dir
	before := resident()
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	opened := resident()
	for _, err := range s.Pins(context.Background(), "") {
		if err != nil {
			panic(err)
		}
	}
	fmt.Println(before, opened, resident())
	if err := s.Close(); err != nil {
		panic(err)
	}
}

// resident memory in KiB.
func resident() (kib int) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	return 0
}

// BenchmarkMemory reports MiB resident in a process of its own.
func BenchmarkMemory(b *testing.B) {
	c, from := source(b, 100_000, 500)
	empty := crdtstatetest.New(b, 2).Founded()
	for _, store := range stores {
		for name, s := range map[string]*crdtstate.State{"empty": empty, "100000": from} {
			b.Run(store+"/"+name, func(b *testing.B) {
				cfg := filled(b, c, s, store)
				for b.Loop() {
					cmd := exec.Command(os.Args[0])
					cmd.Env = append(os.Environ(), measuredEnv+"="+store+":"+cfg.Dir)
					out, err := cmd.Output()
					if err != nil {
						b.Fatal(err)
					}
					var before, opened, listed float64
					if _, err := fmt.Sscan(string(out), &before, &opened, &listed); err != nil {
						b.Fatal(err, string(out))
					}
					b.ReportMetric(before/1024, "MiB-before")
					b.ReportMetric(opened/1024, "MiB-opened")
					b.ReportMetric(listed/1024, "MiB-listed")
				}
			})
		}
	}
}
