package audit

import (
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Count adds a verdict on one pin of so many bytes to its member's account.
func Count(p *pinset.AuditedPeer, v Verdict, bytes uint64, from time.Time) {
	p.Assigned++
	if !v.Promised.IsZero() {
		p.Promised++
	}
	switch v.State {
	case Held:
		p.Held++
		p.Bytes += bytes
		if !v.Repaired.Before(from) && !v.Repaired.IsZero() {
			p.Repaired++
		}
	case Lost:
		p.Lost++
	case Missing:
		p.Missing++
	case Unsaid:
		p.Unsaid++
	}
}
