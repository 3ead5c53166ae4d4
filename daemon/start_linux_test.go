package daemon_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/httpapi/client"
)

// program builds pinfold and returns its path.
func program(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "pinfold")
	cmd := exec.Command("go", "build", "-o", path, "github.com/pinfold/pinfold")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build pinfold: %v\n%s", err, out)
	}
	return path
}

// process is a pinfold that runs by itself.
type process struct {
	*client.Client
	cmd    *exec.Cmd
	output bytes.Buffer
}

// run starts a peer in dir, with Kubo's place taken by nobody when embedded is
// false, and returns how long it took until the API answered.
func run(b *testing.B, path string, dir daemon.Dir, embedded bool) (*process, time.Duration) {
	b.Helper()
	args := []string{"--dir", string(dir), "up", "--give", "10GB"}
	set := []string{"network.listen=/ip4/127.0.0.1/tcp/0", "network.mdns=false", "network.port_map=false", "api.listen=", "proxy.listen=", "ipfs.listen=/ip4/127.0.0.1/tcp/0"}
	if embedded {
		set = append(set, "ipfs.node=embedded")
	} else {
		set = append(set, "ipfs.node=kubo", "ipfs.api=http://127.0.0.1:1")
	}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	p := &process{cmd: exec.Command(path, args...), Client: client.New(dir.Socket(), "")}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for tick := time.NewTicker(2 * time.Millisecond); time.Since(begin) < rigPatience; <-tick.C {
		if _, err := p.Version(b.Context()); err == nil {
			tick.Stop()
			return p, time.Since(begin)
		}
	}
	p.end(b, syscall.SIGKILL)
	b.Fatalf("no answer from pinfold:\n%s", p.output.String())
	return nil, 0
}

func (p *process) end(b *testing.B, sig syscall.Signal) {
	b.Helper()
	p.Close()
	if err := p.cmd.Process.Signal(sig); err != nil {
		b.Error(err)
	}
	_ = p.cmd.Wait() // killed
}

// resident is the process's memory in MiB.
func (p *process) resident(b *testing.B) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			var kib float64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// listed returns how long it takes from begin until all pins were listed.
func (p *process) listed(b *testing.B, pins int) time.Duration {
	b.Helper()
	begin, n := time.Now(), 0
	for _, err := range p.Pins(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != pins {
		b.Fatalf("listed %d of %d pins", n, pins)
	}
	return time.Since(begin)
}

// rest lets a process do what it does after a start.
func rest(d time.Duration) { <-time.After(d) }

// BenchmarkStart measures the real program with 100,000 pins in 500-pin deltas,
// after a clean stop and after kill -9: until the API answers, until everything
// is listed, and what is resident ten seconds later and after one more list.
func BenchmarkStart(b *testing.B) {
	const pins = 100_000
	path := program(b)
	for _, tc := range []struct {
		name string
		last syscall.Signal
	}{{"after=stop", syscall.SIGTERM}, {"after=kill", syscall.SIGKILL}} {
		b.Run(tc.name, func(b *testing.B) {
			dir := daemon.Dir(filepath.Join(b.TempDir(), "p"))
			p, _ := run(b, path, dir, false)
			p.end(b, syscall.SIGTERM)
			fill(b, dir, pins, 500)
			p, _ = run(b, path, dir, false)
			p.listed(b, pins)
			for b.Loop() {
				p.end(b, tc.last)
				var ready time.Duration
				p, ready = run(b, path, dir, false)
				list := p.listed(b, pins)
				rest(10 * time.Second)
				b.ReportMetric(p.resident(b), "resident-MiB")
				p.listed(b, pins)
				b.ReportMetric(p.resident(b), "resident-listed-MiB")
				b.ReportMetric(float64(ready.Milliseconds()), "ready-ms")
				b.ReportMetric(float64((ready + list).Milliseconds()), "listed-ms")
			}
			p.end(b, syscall.SIGTERM)
		})
	}
}

// BenchmarkEmpty measures what an empty peer keeps resident, with and without the
// embedded IPFS node.
func BenchmarkEmpty(b *testing.B) {
	path := program(b)
	for _, embedded := range []bool{false, true} {
		b.Run(fmt.Sprintf("embedded=%v", embedded), func(b *testing.B) {
			for b.Loop() {
				p, _ := run(b, path, daemon.Dir(filepath.Join(b.TempDir(), "p")), embedded)
				rest(10 * time.Second)
				b.ReportMetric(p.resident(b), "resident-MiB")
				p.end(b, syscall.SIGTERM)
			}
		})
	}
}
