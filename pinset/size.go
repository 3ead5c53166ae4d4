package pinset

import (
	"math"
	"strconv"
	"strings"
)

// Sizes are written as people write them: 500GB is 500e9 bytes, 2TiB is 2<<40.
var units = [...]struct {
	name string
	size float64
}{
	{"EIB", 1 << 60}, {"PIB", 1 << 50}, {"TIB", 1 << 40}, {"GIB", 1 << 30}, {"MIB", 1 << 20}, {"KIB", 1 << 10},
	{"EB", 1e18}, {"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
	{"E", 1e18}, {"P", 1e15}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"K", 1e3}, {"B", 1},
}

// ParseSize reads a size in bytes: a number, which may have a fraction, and a
// decimal (KB, MB, GB, TB) or binary (KiB, MiB, GiB, TiB) unit in any case.
func ParseSize(s string) (uint64, error) {
	up := strings.ToUpper(strings.TrimSpace(s))
	mult := 1.0
	for _, u := range units {
		if n, ok := strings.CutSuffix(up, u.name); ok {
			up, mult = strings.TrimSpace(n), u.size
			break
		}
	}
	if n, err := strconv.ParseUint(up, 10, 64); err == nil && (mult == 1 || float64(n)*mult < 1<<63) {
		return n * uint64(mult), nil
	}
	f, err := strconv.ParseFloat(up, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*mult >= 1<<63 || !strings.ContainsAny(up, "0123456789") {
		return 0, Invalid("size %q: want a number and a unit, as in 500GB, 1.5TB or 200GiB", s)
	}
	return uint64(f * mult), nil
}

// FormatSize writes a size with three figures and a decimal unit: "611 GB".
func FormatSize(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10) + " B"
	}
	f, i := float64(n), -1
	for f >= 999.5 && i < 5 {
		f /= 1000
		i++
	}
	digits := 0
	switch {
	case f < 9.995:
		digits = 2
	case f < 99.95:
		digits = 1
	}
	out := strconv.FormatFloat(f, 'f', digits, 64)
	if strings.Contains(out, ".") {
		out = strings.TrimRight(strings.TrimRight(out, "0"), ".")
	}
	return out + " " + [...]string{"kB", "MB", "GB", "TB", "PB", "EB"}[i]
}
