package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	ma "github.com/multiformats/go-multiaddr"
)

// Loopback is a network of real TCP connections on this machine, with the private
// network's key. Each host listens on an address of its own, 127.1.0.<n>, and is
// known by that of a cutter in front of it, which sees by the caller's address
// who calls, and cuts. It implements Cables.
type Loopback struct {
	bytes atomic.Int64 // that went through, in both directions

	mu      sync.Mutex
	cutters []net.Listener
	targets []string
	whole   func(a, b int) bool
	pulled  map[int]bool
	calls   map[*call]struct{}
	work    sync.WaitGroup
}

// call is one connection through a cutter.
type call struct {
	from, to int
	a, b     net.Conn
}

// NewLoopback makes the cutters of n hosts.
func NewLoopback(n int) (*Loopback, error) {
	l := &Loopback{pulled: make(map[int]bool), calls: make(map[*call]struct{})}
	l.whole = func(int, int) bool { return true }
	for range n {
		if err := l.Add(); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Add makes the cutter of one more host.
func (l *Loopback) Add() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.cutters)
	cutter, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	free, err := net.Listen("tcp4", hostIP(i)+":0")
	if err != nil {
		return errors.Join(fmt.Errorf("find port: %w", err), cutter.Close())
	}
	target := free.Addr().String()
	_ = free.Close()
	l.targets, l.cutters = append(l.targets, target), append(l.cutters, cutter)
	l.work.Go(func() {
		for {
			conn, err := cutter.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() { l.pass(i, target, conn) })
		}
	})
	return nil
}

func hostIP(i int) string { return fmt.Sprintf("127.1.0.%d", i+1) }

// Close ends all cutters and connections.
func (l *Loopback) Close() {
	l.mu.Lock()
	for _, c := range l.cutters {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.enforce(func(int, int) bool { return false })
	l.work.Wait()
}

// Bytes returns how many bytes the connections carried, both directions: all but
// the headers of TCP and IP.
func (l *Loopback) Bytes() int64 { return l.bytes.Load() }

// pass carries one connection until one of its ends, or its cable, is gone.
func (l *Loopback) pass(to int, address string, conn net.Conn) {
	defer conn.Close()
	ip := conn.RemoteAddr().(*net.TCPAddr).IP.To4()
	if ip[1] != 1 { // its own address was taken still; it will call again
		return
	}
	c := &call{from: int(ip[3]) - 1, to: to, a: conn}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	target, err := d.DialContext(ctx, "tcp4", address)
	if err != nil {
		return
	}
	defer target.Close()
	c.b = target
	if !l.begin(c) {
		return
	}
	defer l.finish(c)
	var both sync.WaitGroup
	both.Go(func() { l.copy(c.b, c.a) })
	both.Go(func() { l.copy(c.a, c.b) })
	both.Wait()
}

func (l *Loopback) copy(to, from net.Conn) {
	_, _ = io.Copy(counted{to, &l.bytes}, from)
	_ = to.Close()
	_ = from.Close()
}

type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func (l *Loopback) begin(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cable(c) {
		return false
	}
	l.calls[c] = struct{}{}
	return true
}

func (l *Loopback) finish(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, c)
}

// cable says whether a call may be. The caller holds mu.
func (l *Loopback) cable(c *call) bool {
	return l.whole(c.from, c.to) && !l.pulled[c.from] && !l.pulled[c.to]
}

// enforce sets which cables are whole and ends the calls over the others.
func (l *Loopback) enforce(whole func(a, b int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if whole != nil {
		l.whole = whole
	}
	for c := range l.calls {
		if !l.cable(c) {
			_ = c.a.Close()
			_ = c.b.Close()
		}
	}
}

// Connect sets which pairs of hosts have a cable.
func (l *Loopback) Connect(_ int, cable func(a, b int) bool) { l.enforce(cable) }

// Heal lays all cables again.
func (l *Loopback) Heal() { l.enforce(func(int, int) bool { return true }) }

// Pull takes all cables of a host, Plug puts them back.
func (l *Loopback) Pull(host int) { l.setPulled(host, true) }

// Plug ends Pull.
func (l *Loopback) Plug(host int) { l.setPulled(host, false) }

func (l *Loopback) setPulled(host int, pulled bool) {
	l.mu.Lock()
	l.pulled[host] = pulled
	l.mu.Unlock()
	l.enforce(nil)
}

// Site says how host i is made.
func (l *Loopback) Site(i int) Site {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := multiaddr(l.cutters[i].Addr().String())
	return Site{
		Listen: multiaddr(l.targets[i]), Known: known,
		NewHost: func(opts ...libp2p.Option) (host.Host, error) {
			return libp2p.New(append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return []ma.Multiaddr{known} }))...)
		},
	}
}

func multiaddr(addr string) ma.Multiaddr {
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err) // of a listener
	}
	return ma.StringCast("/ip4/" + ip + "/tcp/" + port)
}
