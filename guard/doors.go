package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// stopTime is how long answers under way have when a server stops.
const stopTime = 5 * time.Second

// Doors are the listeners of one server.
type Doors []Door

// Open binds a unix socket ("": none) and TCP addresses (empty ones are passed
// over), all or none. A taken or forbidden address is an error that says what to do.
func (l Listen) Open(socket string, tcp []string) (Doors, error) {
	var out Doors
	if socket != "" {
		d, err := l.Socket(socket)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	for _, addr := range tcp {
		if addr == "" {
			continue
		}
		d, err := l.TCP(addr)
		if err != nil {
			return nil, errors.Join(err, out.Close())
		}
		out = append(out, d)
	}
	return out, nil
}

// Addrs are the bound addresses: the socket's path, then http://host:port or
// https://host:port of each TCP listener.
func (ds Doors) Addrs() []string {
	out := make([]string, 0, len(ds))
	for _, d := range ds {
		out = append(out, d.Addr)
	}
	return out
}

// Close gives the listeners back. Serve does it by itself; closing twice is closing
// once.
func (ds Doors) Close() error {
	var errs []error
	for _, d := range ds {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Serve serves each door by the server that is made for it, until ctx ends or a
// listener fails, then ends the answers under way and waits for them. The servers'
// requests should live in the context that they are made with.
func (ds Doors) Serve(ctx context.Context, serverFor func(context.Context, Door) *http.Server) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(ds))
	var running sync.WaitGroup
	servers := make([]*http.Server, len(ds))
	for i, d := range ds {
		servers[i] = serverFor(ctx, d)
		running.Go(func() {
			if err := servers[i].Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", d.Addr, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel() // what streams stops, so that stopping does not wait for it
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	for _, server := range servers {
		if server.Shutdown(stop) != nil {
			_ = server.Close()
		}
	}
	running.Wait()
	return errors.Join(err, ds.Close())
}
