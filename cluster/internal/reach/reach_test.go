package reach

import (
	"net"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

func addrs(t *testing.T, texts ...string) (out []ma.Multiaddr) {
	t.Helper()
	for _, s := range texts {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func TestPublicIsWhatMayBeReachedFromAnywhere(t *testing.T) {
	for text, want := range map[string]bool{
		"/ip4/127.0.0.1/tcp/1":            false,
		"/ip4/192.168.1.2/tcp/1":          false,
		"/ip4/10.1.2.3/tcp/1":             false,
		"/ip4/100.64.1.1/tcp/1":           false,
		"/ip4/8.8.8.8/tcp/1":              true,
		"/ip6/::1/tcp/1":                  false,
		"/ip6/fd00::1/tcp/1":              false,
		"/ip6/2a00:1450:4001::1/tcp/1":    true,
		"/dns4/archive.example.org/tcp/1": true,
		"/dns/archive.example.org/tcp/1":  true,
	} {
		if got := isPublic(addrs(t, text)[0]); got != want {
			t.Errorf("%s: public %v", text, got)
		}
	}
}

func TestLoopbackIsNamedOnlyWhereThereIsNothingElse(t *testing.T) {
	loop, link, home := "/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/192.168.1.2/tcp/1"
	for _, tc := range []struct {
		in   []string
		want int
	}{{[]string{loop, link, home}, 1}, {[]string{loop, link}, 2}, {nil, 0}} {
		if got := usable(addrs(t, tc.in...)); len(got) != tc.want {
			t.Errorf("%q: %v", tc.in, got)
		}
	}
}

func TestWhatAnswersGoesFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	open, _ := manet.FromNetAddr(l.Addr())
	closed, _ := manet.FromNetAddr(gone.Addr())
	relayed := addrs(t, closed.String()+"/p2p-circuit")[0]
	udp := addrs(t, "/ip4/127.0.0.1/udp/1/quic-v1")[0]
	got := Test(t.Context(), []peer.AddrInfo{{Addrs: []ma.Multiaddr{closed, open}}, {Addrs: []ma.Multiaddr{relayed, udp}}, {}})
	if len(got) != 3 || !got[0][0].Addr.Equal(open) || got[0][0].Err != "" || got[0][1].Err == "" {
		t.Errorf("%+v", got)
	}
	for _, x := range got[1] {
		if x.Err != "" {
			t.Errorf("%s cannot be tested, and failed: %s", x.Addr, x.Err)
		}
	}
	if strings.Contains(got[0][1].Err, ": ") {
		t.Errorf("reason %q", got[0][1].Err)
	}
}

// Of what answers alike, public addresses go first.
func TestRank(t *testing.T) {
	order := []Tested{{Public: true}, {}, {Public: true, Err: "x"}, {Err: "x"}}
	for i := 1; i < len(order); i++ {
		if order[i-1].rank() >= order[i].rank() {
			t.Errorf("%+v before %+v", order[i-1], order[i])
		}
	}
}
