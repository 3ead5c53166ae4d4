package ipfsclienttest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Op names a method of the roles.
type Op string

// The methods of the roles.
const (
	OpPin      Op = "pin"
	OpUnpin    Op = "unpin"
	OpPinOf    Op = "pinof"
	OpPins     Op = "pins"
	OpAdd      Op = "add"
	OpOpen     Op = "open"
	OpList     Op = "list"
	OpDAGSize  Op = "dagsize"
	OpBlock    Op = "block"
	OpRepoStat Op = "repostat"
	OpGC       Op = "gc"
	OpIdentity Op = "identity"
	OpSign     Op = "sign"
	OpConnect  Op = "connect"
)

// Call is one call of a role's method.
type Call struct {
	Op   Op
	CID  cid.Cid     // of pin, unpin, pinof, dagsize
	Mode pinset.Mode // of pin, unpin, dagsize
	Name string      // of pin and add: the pin's name
	Path string      // of open and list
}

// Fault makes a call fail, wait or lie: what it returns is what the caller gets;
// nil lets the call go on. It must be safe for concurrent use.
type Fault func(ctx context.Context, c Call) error

// Faults of a node. Before strikes before anything happened, After when all of it
// happened and only the answer is lost.
type Faults struct{ Before, After Fault }

// errPretend is what a Fault returns to make the call do nothing and succeed.
var errPretend = errors.New("pretend")

// Refuse fails as if nobody listened.
func Refuse(context.Context, Call) error {
	return pinset.Errorf(pinset.KindUnavailable, "ipfs node (fake): connection refused")
}

// Hang waits until the caller gives up.
func Hang(ctx context.Context, c Call) error {
	<-ctx.Done()
	return pinset.Errorf(pinset.KindTimeout, "%s (fake): %w", c.Op, context.Cause(ctx))
}

// Pretend makes the call succeed without doing anything: a node that lies.
func Pretend(context.Context, Call) error { return errPretend }

// Fail fails with err.
func Fail(err error) Fault { return func(context.Context, Call) error { return err } }

// Slow waits first.
func Slow(d time.Duration) Fault {
	return func(ctx context.Context, c Call) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return pinset.Errorf(pinset.KindTimeout, "%s (fake): %w", c.Op, context.Cause(ctx))
		}
	}
}

// On restricts a fault to some methods.
func On(f Fault, ops ...Op) Fault {
	return func(ctx context.Context, c Call) error {
		if !slices.Contains(ops, c.Op) {
			return nil
		}
		return f(ctx, c)
	}
}

// OnCID restricts a fault to one CID.
func OnCID(f Fault, only cid.Cid) Fault {
	return func(ctx context.Context, c Call) error {
		if c.CID != only {
			return nil
		}
		return f(ctx, c)
	}
}

// Times lets a fault strike n times and then never again.
func Times(n int64, f Fault) Fault {
	var struck atomic.Int64
	return func(ctx context.Context, c Call) error {
		if struck.Add(1) > n {
			return nil
		}
		return f(ctx, c)
	}
}
