package words

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// Agreement says whether the members agree, or in which sides they stand.
func Agreement(out io.Writer, a pinset.Agreement, names func(peer.ID) string) {
	if a.Sync != "" {
		fmt.Fprintln(out, a.Sync)
	}
	if len(a.Sides) < 2 {
		fmt.Fprintf(out, "%d of %d peers agree on %s\n", a.Agree, a.Members, counted(a.Count, "pin"))
		return
	}
	fmt.Fprintf(out, "%d of %d peers agree on %s; %d heard\n", a.Agree, a.Members, counted(a.Count, "pin"), a.Heard)
	for i, s := range a.Sides {
		fmt.Fprintln(out, "  "+sideText(s, i == 0, names))
	}
}

func sideText(s pinset.Side, own bool, names func(peer.ID) string) string {
	who := make([]string, len(s.Members))
	for i, id := range s.Members {
		who[i] = names(id)
	}
	text := strings.Join(who, ", ")
	if own {
		return fmt.Sprintf("here: %s: %s, digest %.8s", text, counted(s.Count, "pin"), s.Digest)
	}
	from := "since this peer started"
	if !s.Since.IsZero() {
		from = "since " + s.Since.Local().Format(time.DateTime)
	}
	if s.Heard {
		text = fmt.Sprintf("%s: another pinset %s: %s, digest %.8s", text, from, counted(s.Count, "pin"), s.Digest)
	} else {
		text = fmt.Sprintf("%s: not heard %s", text, from)
	}
	if s.Lacks > 0 {
		text += fmt.Sprintf("; lacks %s of here", counted(s.Lacks, "change"))
	}
	if s.Unknown > 0 {
		text += fmt.Sprintf("; has %s that here lacks", counted(s.Unknown, "head"))
	}
	return text
}

// Merges tells what came together after splits.
func Merges(out io.Writer, merges []pinset.Merge, names func(peer.ID) string) {
	for _, m := range merges {
		fmt.Fprintf(out, "%s\n", m.Began.Local().Format(time.DateTime))
		for _, f := range m.From {
			fmt.Fprintf(out, "  from %s: %s, %d pinned, %d removed\n", names(f.Author), counted(f.Deltas, "delta"), f.Pinned, f.Removed)
		}
		for _, contest := range m.Contested {
			fmt.Fprintln(out, "  "+contestText(contest, names))
		}
		if m.More > 0 {
			fmt.Fprintf(out, "  and %d more\n", m.More)
		}
	}
}

func contestText(t pinset.Contest, names func(peer.ID) string) string {
	others := make([]string, len(t.Others))
	for i, id := range t.Others {
		others[i] = names(id)
	}
	who := strings.Join(others, ", ")
	if t.Kept {
		return fmt.Sprintf("%s%s: removed by %s and pinned by %s at the same time: it stays", t.CID, owned(t.Owner), who, names(t.Winner))
	}
	return fmt.Sprintf("%s%s: changed by %s and %s at the same time: as %s said", t.CID, owned(t.Owner), names(t.Winner), who, names(t.Winner))
}

// Import tells what became of what was brought in.
func Import(out io.Writer, i pinset.Import) {
	from := "an export of " + i.Source + "'s"
	switch {
	case i.Source != "pinfold":
	case i.Signed && i.Member:
		from += ", signed by the member " + i.By
	case i.Signed:
		from += ", signed by " + i.By + ", who is no member here"
	}
	fmt.Fprintf(out, "%s, from %s\n", counted(i.Lines, "line"), from)
	would := ""
	if i.DryRun {
		would = "would be "
	}
	fmt.Fprintf(out, "%s%d added, %d replaced; %d there already, %d there and different and left so; %d expired\n", would, i.Added, i.Changed, i.Same, i.Kept, i.Expired)
	if i.Dropped > 0 {
		fmt.Fprintf(out, "%s named in pins, no members here, left out\n", counted(i.Dropped, "peer"))
	}
	for _, l := range i.BadLines {
		fmt.Fprintf(out, "line %d: %s, in %.80s\n", l.Line, l.Error, l.Value)
	}
	if more := i.Bad - uint64(len(i.BadLines)); more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
}

func counted(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func owned(owner string) string {
	if owner == "" {
		return ""
	}
	return " (" + owner + ")"
}
