package gossip

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// faultsShown are the addresses of which it is told why none answered.
const faultsShown = 3

// dialFault says in one line why a member was not reached: libp2p's own text is a
// list over several lines, and stands in a table here.
func dialFault(err error) string {
	var d *swarm.DialError
	if !errors.As(err, &d) || len(d.DialErrors) == 0 {
		return strings.Join(strings.Fields(err.Error()), " ")
	}
	var tried []string
	for _, t := range d.DialErrors[:min(len(d.DialErrors), faultsShown)] {
		why := t.Cause
		var op *net.OpError
		if errors.As(why, &op) {
			why = op.Err // without the address once more
		}
		tried = append(tried, fmt.Sprintf("%s: %v", t.Address, why))
	}
	if more := len(d.DialErrors) + d.Skipped - len(tried); more > 0 {
		tried = append(tried, fmt.Sprintf("and %d more", more))
	}
	return "not reached at " + strings.Join(strings.Fields(strings.Join(tried, "; ")), " ")
}
