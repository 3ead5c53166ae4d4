package gossip

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/transport"
	protector "github.com/libp2p/go-libp2p/p2p/net/pnet"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	manet "github.com/multiformats/go-multiaddr/net"
)

// door is libp2p's way of letting connections in, with an eye on what arrives: a
// gater hears of a connection before it has said anything and after it has proved
// who it is, and of what fails between the two it never hears.
type door struct {
	transport.Upgrader
	gater *gater
	psk   pnet.PSK // nil: an open network, which has no secret to be wrong
}

// transports returns TCP and WebSocket behind the door.
func transports(g *gater, psk pnet.PSK) libp2p.Option {
	return libp2p.ChainOptions(
		libp2p.Transport(func(u transport.Upgrader, r network.ResourceManager, s *tcpreuse.ConnMgr) (*tcp.TcpTransport, error) {
			return tcp.NewTCPTransport(door{u, g, psk}, r, s)
		}),
		libp2p.Transport(func(u transport.Upgrader, r network.ResourceManager, s *tcpreuse.ConnMgr) (*websocket.WebsocketTransport, error) {
			return websocket.New(door{u, g, psk}, r, s)
		}),
	)
}

func (d door) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	return d.Upgrader.UpgradeGatedMaListener(t, doorListener{l, d})
}

type doorListener struct {
	transport.GatedMaListener
	door door
}

// Accept lets a host have a few handshakes under way: one that opens connections
// and says nothing must not take the places of others.
func (l doorListener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	for {
		c, scope, err := l.GatedMaListener.Accept()
		if err != nil {
			return nil, nil, err
		}
		host := hostOf(c.RemoteMultiaddr().String())
		if l.door.gater.wait(host) {
			return &arrival{Conn: c, door: l.door, host: host}, scope, nil
		}
		_ = c.Close()
		scope.Done()
	}
}

// firstWords are what every libp2p peer says first, after the nonce.
const (
	firstWords = "\x13/multistream/1.0.0\n"
	nonceSize  = 24
)

// arrival is a connection from outside. Its handshake ends when the gater has
// learned who it is, or when it closes: libp2p closes it after 15 seconds.
type arrival struct {
	manet.Conn
	door  door
	host  string
	heard []byte // the beginning; only the reader touches it
	known bool   // whether the secret fits
	over  sync.Once
}

// Read looks at the first words. Whoever has the secret encrypts them with it;
// anything else comes from somebody who has another secret, or none. A connection
// that closes before it said a word - a port scanner, our own test of an address -
// says nothing about secrets, and a handshake that fails later is not about them.
func (a *arrival) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if a.door.psk != nil && !a.known && n > 0 {
		a.heard = append(a.heard, b[:min(n, nonceSize+len(firstWords)-len(a.heard))]...)
		a.judge()
	}
	return n, err
}

// judge compares what was heard so far: libp2p reads on only while it makes sense.
func (a *arrival) judge() {
	if len(a.heard) <= nonceSize {
		return
	}
	c, err := protector.NewProtectedConn(a.door.psk, heard{r: bytes.NewReader(a.heard)})
	if err != nil {
		return
	}
	words := make([]byte, len(a.heard)-nonceSize)
	_, err = io.ReadFull(c, words)
	fits := err == nil && strings.HasPrefix(firstWords, string(words))
	if !fits {
		a.door.gater.faults.count(faultHandshake, a.host)
	}
	if a.known = !fits || len(words) == len(firstWords); a.known {
		a.heard = nil
	}
}

func (a *arrival) Close() error {
	a.settled()
	return a.Conn.Close()
}

func (a *arrival) settled() { a.over.Do(func() { a.door.gater.waited(a.host) }) }

// heard is a connection that says again what was heard.
type heard struct {
	net.Conn
	r io.Reader
}

func (h heard) Read(b []byte) (int, error) { return h.r.Read(b) }
