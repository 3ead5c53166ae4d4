package words

import (
	"fmt"
	"io"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// State tells the epoch, what is in it, and how far the next one is.
func State(out io.Writer, info pinset.StateInfo) {
	fmt.Fprintf(out, "epoch    %d\n", info.Epoch)
	if info.Genesis != "" {
		fmt.Fprintf(out, "genesis  %s\n", info.Genesis)
	}
	fmt.Fprintf(out, "deltas   %d since then, %d folded\npins     %d\ndisk     %s\n",
		info.Blocks, info.Folded, info.Pins, pinset.FormatSize(info.Bytes))
	if info.Closing == nil {
		return
	}
	n := len(info.Closing.Sealed) + len(info.Closing.Waiting)
	switch {
	case len(info.Closing.Acked) == 0:
		fmt.Fprintf(out, "next     %d of %d members have sealed\n", len(info.Closing.Sealed), n)
	default:
		fmt.Fprintf(out, "next     %d of %d members have everything\n", len(info.Closing.Acked), len(info.Closing.Sealed))
	}
	if len(info.Closing.Waiting) > 0 {
		var names []string
		for _, p := range info.Closing.Waiting {
			names = append(names, p.Name)
		}
		fmt.Fprintf(out, "waits    for %s\n", strings.Join(names, ", "))
	}
	if info.Closing.Trouble != "" {
		fmt.Fprintf(out, "trouble  %s\n", info.Closing.Trouble)
	}
}
