package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

func bridgeCommand() *cli.Command {
	return command(&cli.Command{
		Name: "bridge", Usage: "reach another member's IPFS-shaped door from here", ArgsUsage: "NAME",
		Description: "Listens on this machine for whatever speaks to a Kubo (ipfs --api /ip4/127.0.0.1/tcp/9195 …), and carries it over the private\n" +
			"network to that member's door. What may be done there is what its owner said of this peer's key:\n" +
			"pinfold token add NOTE --peer THIS-PEER --scope read. Ends with Ctrl-C.",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "listen", Value: "127.0.0.1:9195", Usage: "loopback `ADDRESS`; port 0 is any"}},
		Action: bridge,
	})
}

func bridge(c *cli.Context) error {
	args, err := arguments(c, 1, 1)
	if err != nil {
		return err
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	id, err := memberNamed(c, api, args[0])
	if err != nil {
		return err
	}
	listen, err := loopback(c.String("listen"))
	if err != nil {
		return err
	}
	defer listen.Close()
	probe, err := api.Line(c.Context, id) // says at once whether the member is there
	if err != nil {
		return err
	}
	_ = probe.Close()
	at := listen.Addr().(*net.TCPAddr)
	if err := say(c, map[string]string{"listen": at.String(), "peer": id.String()}, fmt.Sprintf("%s's door is at %s: ipfs --api /ip4/127.0.0.1/tcp/%d …", args[0], at, at.Port)); err != nil {
		return err
	}
	return bridged{api, id, c.App.ErrWriter}.run(c.Context, listen)
}

// loopback binds an address that only this machine reaches: whoever comes there
// comes with this peer's rights.
func loopback(addr string) (net.Listener, error) {
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, pinset.Invalid("--listen %q: want host:port, as in 127.0.0.1:9195", addr)
	}
	if !at.IP.IsLoopback() {
		return nil, pinset.Errorf(pinset.KindRefused, "--listen %s: whoever reaches it has this peer's rights at the member", addr).WithHint("use 127.0.0.1")
	}
	listen, err := net.ListenTCP("tcp", at)
	return listen, pinset.Wrap(pinset.KindConflict, err, "listen on %s", addr)
}

// bridged carries connections to one member.
type bridged struct {
	api  *client.Client
	id   peer.ID
	errs io.Writer
}

// run carries until ctx ends, and waits for what it carries.
func (b bridged) run(ctx context.Context, listen net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = listen.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for {
		near, err := listen.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		all.Go(func() {
			defer near.Close()
			if err := b.carry(ctx, near); err != nil && ctx.Err() == nil {
				fmt.Fprintf(b.errs, "pinfold: warning: %v\n", err)
				refuse(near, err)
			}
		})
	}
}

// carry copies both ways until one side ends.
func (b bridged) carry(ctx context.Context, near net.Conn) error {
	far, err := b.api.Line(ctx, b.id)
	if err != nil {
		return err
	}
	shut := sync.OnceFunc(func() { _, _ = near.Close(), far.Close() })
	defer context.AfterFunc(ctx, shut)()
	var back sync.WaitGroup
	back.Go(func() {
		defer shut()
		_, _ = io.Copy(near, far) // one that breaks ends the connection
	})
	_, _ = io.Copy(far, near)
	shut()
	back.Wait()
	return nil
}

// refuse tells a client of HTTP why nobody answers, in the way that Kubo's show.
func refuse(near net.Conn, why error) {
	_ = near.SetDeadline(time.Now().Add(time.Second))
	_, _ = near.Read(make([]byte, 64<<10)) // its question: a connection that closes on it shows no answer
	body, _ := json.Marshal(map[string]any{"Message": why.Error(), "Code": 0, "Type": "error"})
	fmt.Fprintf(near, "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n", len(body)+1, body)
}
