package kubotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Daemon is a Kubo that runs until its test ends.
type Daemon struct {
	API  string // multiaddress of the RPC
	Repo string // its repository, $IPFS_PATH
	ID   string // peer id

	t    testing.TB
	bin  string
	log  *logBuffer
	cmd  *exec.Cmd
	over chan struct{} // closed when the process is gone
}

// Config changes a node's configuration, Kubo's JSON, before it starts.
type Config func(map[string]any)

// Set sets one value, its name with dots: "API.Authorizations".
func Set(name string, value any) Config {
	return func(c map[string]any) {
		parts := strings.Split(name, ".")
		for _, p := range parts[:len(parts)-1] {
			below, ok := c[p].(map[string]any)
			if !ok {
				below = map[string]any{}
				c[p] = below
			}
			c = below
		}
		c[parts[len(parts)-1]] = value
	}
}

// Unix lets the RPC listen on a socket in the repository instead of on TCP.
func Unix(t testing.TB) Config {
	dir, err := os.MkdirTemp("", "kubo") // a test's own directory may have too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Set("Addresses.API", "/unix"+filepath.Join(dir, "rpc.sock"))
}

// Start makes a new repository and runs a daemon over it until the test ends.
func Start(t testing.TB, change ...Config) *Daemon {
	t.Helper()
	d := Init(t, change...)
	d.Start()
	return d
}

// Init makes a new repository without running a daemon.
func Init(t testing.TB, change ...Config) *Daemon {
	t.Helper()
	d := &Daemon{t: t, bin: Binary(t), Repo: t.TempDir(), log: &logBuffer{}}
	if out, err := d.command("init", "--empty-repo", "--profile=test").CombinedOutput(); err != nil {
		t.Fatalf("ipfs init: %v\n%s", err, out)
	}
	file := filepath.Join(d.Repo, "config")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cfg map[string]any
	if err := json.Unmarshal(raw, &cfg); err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	for _, c := range append(hermit(), change...) {
		c(cfg)
	}
	d.ID, _ = cfg["Identity"].(map[string]any)["PeerID"].(string)
	if raw, err = json.MarshalIndent(cfg, "", " "); err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hermit keeps a node to itself, beyond what Kubo's profile "test" does.
func hermit() []Config {
	return []Config{
		Set("Bootstrap", []string{}),
		Set("Routing.Type", "none"),
		Set("AutoConf.Enabled", false),
		Set("AutoTLS.Enabled", false),
		Set("Discovery.MDNS.Enabled", false),
		Set("DNS.Resolvers", map[string]any{}),
		Set("Ipns.DelegatedPublishers", []string{}),
		Set("HTTPRetrieval.Enabled", false),
		Set("Provide.Enabled", false),
		Set("Version.SwarmCheckEnabled", false),
		Set("Swarm.RelayClient.Enabled", false),
		Set("Swarm.RelayService.Enabled", false),
		Set("Swarm.EnableHolePunching", false),
		Set("Swarm.DisableNatPortMap", true),
		Set("Addresses.Swarm", []string{"/ip4/127.0.0.1/tcp/0"}),
		Set("Addresses.Gateway", nil),
		Set("Addresses.API", "/ip4/127.0.0.1/tcp/0"),
		Set("Plugins.Plugins.telemetry.Disabled", true),
	}
}

func (d *Daemon) command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.bin, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+d.Repo, "IPFS_TELEMETRY=off", "GOLOG_LOG_LEVEL=error")
	return cmd
}

// Start runs the daemon and returns when it answers.
func (d *Daemon) Start() {
	d.t.Helper()
	os.Remove(filepath.Join(d.Repo, "api"))
	d.cmd = d.command("daemon")
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	dieWithParent(d.cmd)
	started, over := make(chan error), make(chan struct{})
	d.over = over
	cmd := d.cmd
	go func() {
		// The kernel ties the child's life to the thread that started it.
		runtime.LockOSThread()
		defer close(over)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed, as a rule
		}
	}()
	if err := <-started; err != nil {
		d.t.Fatalf("start ipfs daemon: %v", err)
	}
	d.t.Cleanup(d.Kill)
	Eventually(d.t, 60*time.Second, "ipfs daemon answers", d.answers)
}

func (d *Daemon) answers() error {
	select {
	case <-d.over:
		d.t.Fatalf("ipfs daemon ended:\n%s", d.log)
	default:
	}
	api, err := os.ReadFile(filepath.Join(d.Repo, "api"))
	if err != nil {
		return err
	}
	if !strings.Contains(d.log.String(), "Daemon is ready") {
		return fmt.Errorf("not ready:\n%s", d.log)
	}
	d.API = strings.TrimSpace(string(api))
	return nil
}

// Kill ends the daemon at once, as a power cut does. The repository stays.
func (d *Daemon) Kill() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	_ = d.cmd.Process.Kill()
	<-d.over
}

// Run runs the Kubo command line on this node and returns its output.
func (d *Daemon) Run(args ...string) string {
	d.t.Helper()
	cmd := d.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("ipfs %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// Addresses returns multiaddresses, with /p2p/, at which other nodes reach it.
func (d *Daemon) Addresses() []string {
	d.t.Helper()
	return strings.Fields(d.Run("id", "-f", "<addrs>"))
}

// Connect connects two daemons.
func Connect(t testing.TB, a, b *Daemon) {
	t.Helper()
	a.Run(append([]string{"swarm", "connect"}, b.Addresses()...)...)
}

// logBuffer keeps what a daemon prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
