package guard

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pinfold/pinfold/pinset"
)

// maxSocket is how long a unix socket's path may be: what every system takes.
const maxSocket = 100

// Door is a listener and who may come in by it.
type Door struct {
	net.Listener
	Rules Rules
	Addr  string // a socket's path, or http://host:port, or https://host:port, or /p2p/ID
}

// Listen says how doors of one kind are opened.
type Listen struct {
	Name        string      // in messages, and before the dot of its settings: "api"
	AllowRemote bool        // plain TCP beyond loopback: tokens travel readable
	TLS         *tls.Config // of TCP; nil: plain
	Hosts       []string    // further names of it, for the Host check
	Origins     []string    // pages that may call it: "https://example.org"
}

// Close gives the listener back, and takes a socket's file away.
func (d Door) Close() error {
	var errs []error
	if err := d.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		errs = append(errs, fmt.Errorf("close %s: %w", d.Addr, err))
	}
	if d.Rules.Socket {
		if err := os.Remove(d.Addr); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove socket: %w", err))
		}
	}
	return errors.Join(errs...)
}

// TCP binds host:port; port 0 is any. A taken or forbidden address is an error that
// says what to do.
func (l Listen) TCP(addr string) (Door, error) {
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return Door{}, pinset.Wrap(pinset.KindInvalid, err, "%s address %q: want host:port, as in 127.0.0.1:9094", l.Name, addr)
	}
	local := at.IP.IsLoopback()
	if !local && !l.AllowRemote && l.TLS == nil {
		return Door{}, pinset.Errorf(pinset.KindRefused, "%s address %s: plain TCP beyond loopback shows every token to the network", l.Name, addr).
			WithHint("use 127.0.0.1, or set %s.allow_remote", l.Name)
	}
	bound, err := net.ListenTCP("tcp", at)
	if err != nil {
		return Door{}, l.explain(addr, err)
	}
	port := strconv.Itoa(bound.Addr().(*net.TCPAddr).Port)
	rules := Rules{Remote: !local, Port: port, Hosts: lower(l.Hosts), Origins: lower(l.Origins)}
	if l.TLS != nil {
		return Door{tls.NewListener(bound, l.TLS), rules, "https://" + bound.Addr().String()}, nil
	}
	return Door{bound, rules, "http://" + bound.Addr().String()}, nil
}

func (l Listen) explain(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		return pinset.Wrap(pinset.KindConflict, &pinset.Error{Kind: pinset.KindConflict, Msg: "another program listens there",
			Hint: fmt.Sprintf("`ss -ltnp 'sport = :%s'` names it; or set %s.listen to another port", port, l.Name), Err: err}, "%s address %s", l.Name, addr)
	}
	return pinset.Wrap(pinset.KindUnavailable, err, "listen on %s address %s", l.Name, addr)
}

// Peers is the door of those who come over the private network. Nobody is at home
// there but by key or token; what web pages could reach it by is checked as beyond
// loopback.
func (l Listen) Peers(lines net.Listener) Door {
	return Door{lines, Rules{Peers: true, Remote: true, Port: "none", Origins: lower(l.Origins)}, "/p2p/" + lines.Addr().String()}
}

// Socket makes a unix socket in a private directory and moves it to its place when
// its mode is 0600, so that at no moment others may open it.
func (l Listen) Socket(path string) (Door, error) {
	if len(path) > maxSocket {
		return Door{}, pinset.Invalid("%s socket %q: %d bytes, at most %d", l.Name, path, len(path), maxSocket).WithHint("set a shorter directory")
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return Door{}, pinset.Errorf(pinset.KindConflict, "%s socket %s: another daemon answers there", l.Name, path).
			WithHint("stop it first, or use another directory")
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return Door{}, pinset.Wrap(pinset.KindUnavailable, err, "make %s socket", l.Name)
	}
	defer os.RemoveAll(dir)
	bound, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		return Door{}, pinset.Wrap(pinset.KindUnavailable, err, "make %s socket", l.Name)
	}
	bound.SetUnlinkOnClose(false) // it moves away; Close removes it
	if err = os.Chmod(filepath.Join(dir, "s"), 0o600); err == nil {
		err = os.Rename(filepath.Join(dir, "s"), path)
	}
	if err != nil {
		return Door{}, errors.Join(pinset.Wrap(pinset.KindUnavailable, err, "make %s socket", l.Name), bound.Close())
	}
	return Door{bound, Rules{Socket: true, Origins: lower(l.Origins)}, path}, nil
}

func lower(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		out = append(out, strings.ToLower(strings.TrimSuffix(s, "/")))
	}
	return out
}
