package gossip

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

func TestADialsFaultIsOneLine(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp4", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	dial := &swarm.DialError{Cause: swarm.ErrAllDialsFailed}
	for i := range 5 {
		a := ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 4000+i))
		dial.DialErrors = append(dial.DialErrors, swarm.TransportError{Address: a, Cause: refused})
	}
	one := &swarm.DialError{Cause: swarm.ErrAllDialsFailed, DialErrors: dial.DialErrors[:1]}
	const first = "not reached at /ip4/127.0.0.1/tcp/4000: connect: connection refused"
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("failed to dial: %w", one), first},
		{dial, first + "; /ip4/127.0.0.1/tcp/4001: connect: connection refused; /ip4/127.0.0.1/tcp/4002: connect: connection refused; and 2 more"},
		{errors.New("no\n  addresses"), "no addresses"},
	} {
		if got := dialFault(tc.err); got != tc.want {
			t.Errorf("got  %q\nwant %q", got, tc.want)
		}
	}
}
