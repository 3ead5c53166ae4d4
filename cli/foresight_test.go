package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/pinset"
)

func TestAPlanForPeople(t *testing.T) {
	o := pinset.Outlook{
		If: []string{"join:2TB@home3", "leave:alice"}, Pins: 1, Bytes: 5e9, Unsized: 3, Moved: pinset.Amount{Copies: 7, Bytes: 30e9}, Least: pinset.Amount{Copies: 5, Bytes: 20e9},
		Thin: 2, Lost: 1, Short: pinset.BeforeAfter{After: 1},
		Members: []pinset.Prospect{
			{Name: "alice", Site: "home1", Lent: pinset.BeforeAfter{Before: 1e12}, Before: pinset.Amount{Copies: 1, Bytes: 4e9}, Out: pinset.Amount{Copies: 1, Bytes: 4e9}, Note: "leaves"},
			{Name: "joiner 1", Site: "home3", Lent: pinset.BeforeAfter{After: 2e12}, In: pinset.Amount{Copies: 7}, After: pinset.Amount{Copies: 7}, Note: "joins"},
		},
		Below:    []pinset.BelowMin{{CID: "bafy", Short: 1, Reason: "1 of 2 members can take it"}},
		Usable:   []pinset.Usable{{Copies: 2, Bytes: pinset.BeforeAfter{Before: 1e12, After: 15e11}}},
		Warnings: []string{"nobody stands at home3"},
	}
	var out, errs bytes.Buffer
	if err := printOutlook(&out, &errs, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 pin, 5 GB and 3 of unknown size in the pinset", "if join:2TB@home3, leave:alice:", "7 copies, 30 GB, 1.50 times the least",
		"goes at once: 2 pins", "WITHOUT ANY COPY, if who leaves goes at once: 1 pin", "short for good: 1 pin, now 0 pins", "bafy lacks 1: 1 of 2 members can take it",
		"alice     home1  1 TB -> 0 B  1 copy, 4 GB  0 copies    -         1 copy, 4 GB  leaves",
		"joiner 1  home3  0 B -> 2 TB  0 copies      7 copies    7 copies  -             joins",
		"usable at replication 2: 1 TB -> 1.5 TB",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the plan lacks %q:\n%s", want, out.String())
		}
	}
	if !strings.Contains(errs.String(), "pinfold: warning: nobody stands at home3") {
		t.Errorf("standard error: %s", errs.String())
	}
}
