package gossip

import (
	"context"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// rpcProtocol carries what speaks Kubo's RPC to the IPFS-shaped door of another
// member: the bytes of HTTP/1.1, as they are.
const rpcProtocol protocol.ID = "/pinfold/rpc/1"

const (
	linesAtOnce = 256 // that members have to this peer
	linesOfOne  = 64
)

// Line is a stream to a member as a connection; its addresses are peer ids.
type Line struct {
	network.Stream
	hangUp func()
}

type lineAddr peer.ID

func (lineAddr) Network() string  { return "libp2p" }
func (a lineAddr) String() string { return peer.ID(a).String() }

// LocalAddr is this peer's id.
func (l Line) LocalAddr() net.Addr { return lineAddr(l.Stream.Conn().LocalPeer()) }

// RemoteAddr is the member's id, which it has proved.
func (l Line) RemoteAddr() net.Addr { return lineAddr(l.Stream.Conn().RemotePeer()) }

// Close ends both directions. Closing twice is closing once.
func (l Line) Close() error {
	err := l.Stream.Close()
	l.hangUp()
	return err
}

// Dial opens a line to the IPFS-shaped door of a connected member.
func (n *Network) Dial(ctx context.Context, p peer.ID) (net.Conn, error) {
	s, err := n.open(ctx, p, rpcProtocol)
	if err != nil {
		return nil, err
	}
	return Line{s.Stream, func() {}}, nil
}

// Lines returns a listener for the lines that members open to this peer. There is
// one at a time; while there is none, members are told that nothing is offered. It
// is closed before the network is.
func (n *Network) Lines() net.Listener {
	l := &lines{n: n, gate: newGate(linesAtOnce, linesOfOne), open: make(chan Line), closed: make(chan struct{})}
	n.host.SetStreamHandler(rpcProtocol, l.take)
	return l
}

// lines is the listening end.
type lines struct {
	n      *Network
	gate   *gate
	open   chan Line
	once   sync.Once
	closed chan struct{}
}

// take hands a member's stream on. Strangers and candidates have no business here.
func (l *lines) take(s network.Stream) {
	p := s.Conn().RemotePeer()
	if l.n.gater.standing(p) != member {
		_ = s.Reset()
		return
	}
	if !l.gate.enter(p) {
		l.n.faults.count(faultRate, p.String())
		_ = s.Reset()
		return
	}
	line := Line{s, sync.OnceFunc(func() { l.gate.leave(p) })}
	select {
	case l.open <- line:
	case <-l.closed:
		line.hangUp()
		_ = s.Reset()
	}
}

func (l *lines) Accept() (net.Conn, error) {
	select {
	case line := <-l.open:
		return line, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lines) Close() error {
	l.once.Do(func() {
		l.n.host.RemoveStreamHandler(rpcProtocol)
		close(l.closed)
	})
	return nil
}

func (l *lines) Addr() net.Addr { return lineAddr(l.n.ID()) }
