package guard_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/pinset"
)

func TestOpenIsAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	socket := filepath.Join(t.TempDir(), "s")
	listen := guard.Listen{Name: "api"}
	if _, err := listen.Open(socket, []string{"127.0.0.1:0", taken.Addr().String()}); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("open a taken address: %v", err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	doors, err := listen.Open(socket, []string{"", "127.0.0.1:0"})
	if err != nil {
		t.Fatalf("open once nothing is taken: %v", err)
	}
	if got := doors.Addrs(); len(got) != 2 || got[0] != socket {
		t.Errorf("addresses %q, want the socket and one of TCP", got)
	}
	for range 2 {
		if err := doors.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// TestServeEndsWhatStreams: an answer that would never end gets to know that the
// server stops, and Serve does not wait for more than it.
func TestServeEndsWhatStreams(t *testing.T) {
	doors, err := guard.Listen{Name: "api"}.Open("", []string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	begun, ended := make(chan struct{}), make(chan error, 1)
	stream := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})
	go func() {
		ended <- doors.Serve(ctx, func(ctx context.Context, _ guard.Door) *http.Server {
			return &http.Server{Handler: stream, BaseContext: func(net.Listener) context.Context { return ctx }}
		})
	}()
	go get(doors[0])
	<-begun
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	if again, err := net.Listen("tcp", doors[0].Listener.Addr().String()); err != nil {
		t.Errorf("the address is not free: %v", err)
	} else {
		_ = again.Close()
	}
}

// TestOneFailureEndsAll: a listener that fails is named, and what the other doors
// stream is told to end before it is cut off.
func TestOneFailureEndsAll(t *testing.T) {
	doors, err := guard.Listen{Name: "api"}.Open("", []string{"127.0.0.1:0", "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	begun, ended, end := make(chan struct{}), make(chan error, 1), make(chan string, 1)
	go func() {
		ended <- doors.Serve(context.Background(), func(ctx context.Context, _ guard.Door) *http.Server {
			return &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(begun)
				select {
				case <-ctx.Done():
					end <- "told"
				case <-r.Context().Done(): // the connection is closed
					end <- "cut off"
				}
			})}
		})
	}()
	go get(doors[0])
	<-begun
	_ = doors[1].Listener.Close()
	if got := <-end; got != "told" {
		t.Errorf("the stream was %s", got)
	}
	if err, want := <-ended, "serve "+doors[1].Addr+": "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("serve: %v, want %s…", err, want)
	}
}

func get(d guard.Door) {
	if answer, err := http.Get(d.Addr); err == nil {
		_ = answer.Body.Close()
	}
}
