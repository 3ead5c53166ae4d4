package budget

import (
	"fmt"
	"strings"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Use is what was fetched, and whether more may be.
type Use struct {
	Today, Month           uint64 // bytes
	TodayLimit, MonthLimit uint64 // 0: none
	Schedule               string
	Why                    string    // nothing more, or nothing much, begins; "": all may
	Until                  time.Time // then; zero: not known
}

// Limits says for people how the limits stand, "" where there are none.
func (u Use) Limits() string {
	var parts []string
	if u.TodayLimit > 0 || u.MonthLimit > 0 {
		parts = append(parts, "fetched "+u.String())
	}
	if u.Schedule != "" {
		parts = append(parts, "much only at "+u.Schedule)
	}
	if u.Why != "" {
		why := u.Why
		if !u.Until.IsZero() && u.Until.Year() < 9999 {
			why += ", until " + u.Until.Local().Format("2006-01-02 15:04")
		}
		parts = append(parts, why)
	}
	return strings.Join(parts, "; ")
}

// String says what was fetched of what may be.
func (u Use) String() string {
	part := func(name string, used, of uint64) string {
		if of == 0 {
			return pinset.FormatSize(used) + " " + name
		}
		return fmt.Sprintf("%s of %s %s", pinset.FormatSize(used), pinset.FormatSize(of), name)
	}
	return part("today", u.Today, u.TodayLimit) + ", " + part("this month", u.Month, u.MonthLimit)
}
