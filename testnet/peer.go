package testnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// Peer is one pinfold process and, with Kubo, the IPFS daemon beside it.
type Peer struct {
	Name string
	Dir  string

	api    string // of an IPFS node that runs already
	exe    string
	cmd    *exec.Cmd
	exit   chan error // the process's end, once
	kubo   *kubo
	id     pinset.Peer
	client *client.Client
}

// startTimeout bounds the wait for a peer's first answer: a first start makes keys
// and repositories.
const startTimeout = 60 * time.Second

// prepare writes the peer's configuration and, with an invite, joins.
func (p *Peer) prepare(ctx context.Context, opts Options, withKubo bool, invite string) error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	cfg := daemon.Defaults()
	cfg.Name = p.Name
	give, err := pinset.ParseSize(opts.Give)
	if err != nil {
		return err
	}
	cfg.Give = give
	cfg.Network.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Network.MDNS, cfg.Network.PortMap, cfg.Network.Relay = false, false, false
	cfg.Network.Heartbeat = 2 * time.Second
	cfg.API.Listen, cfg.Proxy.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.IPFS.Node = "embedded"
	cfg.IPFS.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Tracker.Grace = time.Minute
	if p.api != "" {
		cfg.IPFS.Node, cfg.IPFS.API = "kubo", p.api
	} else if withKubo {
		if p.kubo, err = startKubo(ctx, filepath.Join(p.Dir, "kubo")); err != nil {
			return err
		}
		cfg.IPFS.Node, cfg.IPFS.API = "kubo", p.kubo.api
	}
	if err := daemon.Save(daemon.Dir(p.Dir).Config(), cfg); err != nil {
		return err
	}
	if invite == "" || p.joined() {
		return nil
	}
	cmd := exec.CommandContext(ctx, p.exe, "--dir", p.Dir, "join", invite, "--name", p.Name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("join as %s: %w: %s", p.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (p *Peer) joined() bool {
	_, err := os.Stat(filepath.Join(p.Dir, "clusters"))
	return err == nil
}

// Start runs the process and waits until it answers. Its log goes to the file
// `log` in its directory.
func (p *Peer) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(p.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.exe, "--dir", p.Dir, "up")
	p.cmd.Env = append(os.Environ(), daemon.ControlEnv+"="+p.controlSocket())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = ownGroup()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.exit = make(chan error, 1)
	go func() { p.exit <- p.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		self, err := p.Client().Self(ctx)
		if err == nil {
			p.id = self.Peer
			return p.keepPorts()
		}
		select {
		case exit := <-p.exit:
			p.exit <- exit
			return fmt.Errorf("start %s: it ended: %v: %s", p.Name, exit, p.lastLog())
		case <-ctx.Done():
			return fmt.Errorf("start %s: no answer: %w: %s", p.Name, err, p.lastLog())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// enrolled waits until the peer knows so many members, itself among them: from
// then on it can write.
func (p *Peer) enrolled(ctx context.Context, members int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		a, err := p.Client().Agreement(ctx)
		if err == nil && a.Members >= members {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: it knows %d of %d members: %w: %s", p.Name, a.Members, members, errors.Join(err, ctx.Err()), p.lastLog())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// keepPorts writes the ports that the first start got into the configuration, so
// that the others find the peer again after a restart, as they do in real life.
func (p *Peer) keepPorts() error {
	path := daemon.Dir(p.Dir).Config()
	cfg, _, err := daemon.Load(path, nil)
	if err != nil {
		return err
	}
	cfg.Network.Listen = p.id.Addresses
	if cfg.IPFS.Node == "embedded" {
		cfg.IPFS.Listen = nil
		for _, a := range p.id.IPFS.Addresses {
			at, _, _ := strings.Cut(a, "/p2p/")
			cfg.IPFS.Listen = append(cfg.IPFS.Listen, at)
		}
	}
	return daemon.Save(path, cfg)
}

// Kill ends the process at once, as a power cut would.
func (p *Peer) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exit
	p.cmd = nil
	return nil
}

// Stop asks the process to end, and kills it when ctx ends first; then the IPFS
// daemon.
func (p *Peer) Stop(ctx context.Context) error {
	if p.cmd != nil && p.cmd.Process != nil {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exit:
			p.cmd = nil
		case <-ctx.Done():
			p.Kill()
		}
	}
	if p.kubo != nil {
		return p.kubo.stop(ctx)
	}
	return nil
}

// Client speaks to the peer's API, also after it was killed and started again.
func (p *Peer) Client() *client.Client {
	if p.client == nil {
		p.client = client.New(daemon.Dir(p.Dir).Socket(), "")
	}
	return p.client
}

// ID is what the peer said of itself when it started.
func (p *Peer) ID() pinset.Peer { return p.id }

func (p *Peer) controlSocket() string { return filepath.Join(p.Dir, "control.sock") }

func (p *Peer) lastLog() string {
	raw, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}
