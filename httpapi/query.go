package httpapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/pinset"
)

// params are a request's query parameters, each known to its route and given
// once. Reading one that does not parse sets err, which its handler returns
// before it does anything.
type params struct {
	values url.Values
	err    error
}

func parseParams(raw string, known []string) (params, error) {
	if raw == "" {
		return params{}, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return params{}, pinset.Invalid("query %q: %v", raw, err)
	}
	for name, given := range values {
		if !isKnown(name, known) {
			return params{}, unknownParam(name, known)
		}
		if len(given) > 1 {
			return params{}, pinset.Invalid("query parameter %s: given %d times, %q: want it once", name, len(given), given)
		}
	}
	return params{values: values}, nil
}

func isKnown(name string, known []string) bool {
	return slices.ContainsFunc(known, func(k string) bool {
		prefix, open := strings.CutSuffix(k, "*")
		return name == k || open && strings.HasPrefix(name, prefix) && name != prefix
	})
}

func unknownParam(name string, known []string) error {
	if len(known) == 0 {
		return pinset.Invalid("query parameter %q: this path takes none", name)
	}
	return pinset.Invalid("query parameter %q: there is none of this name here; there are %s", name, strings.Join(known, ", ")).
		WithHint("did you mean %s?", nearest(name, known))
}

// nearest is the known word with the smallest edit distance, the first of equals.
func nearest(word string, known []string) string {
	best, least := "", 1<<30
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := above
			if a[i] != b[j] {
				cost++
			}
			above = row[j+1]
			row[j+1] = min(cost, row[j]+1, above+1)
		}
	}
	return row[len(b)]
}

func (p *params) get(name string) string { return p.values.Get(name) }

func (p *params) optional(name string) (value string, given bool) {
	return p.values.Get(name), p.values.Has(name)
}

func (p *params) bad(name, want string) {
	if p.err == nil {
		p.err = pinset.Invalid("query parameter %s: %q: want %s", name, p.get(name), want)
	}
}

// flag reads true or false; "" is false.
func (p *params) flag(name string) bool { return p.flagOr(name, false) }

func (p *params) flagOr(name string, missing bool) bool {
	v := p.get(name)
	if v == "" {
		return missing
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		p.bad(name, "true or false")
	}
	return on
}

func (p *params) integer(name string) int {
	v := p.get(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		p.bad(name, "a whole number")
	}
	return int(n)
}

// oneOf refuses a value that is neither empty nor among possible.
func (p *params) oneOf(name string, possible ...string) string {
	v := p.get(name)
	if v != "" && !slices.Contains(possible, v) {
		p.bad(name, strings.Join(possible, " or "))
	}
	return v
}

// words splits at commas; "" is none.
func (p *params) words(name string) []string {
	v := p.get(name)
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

func (p *params) cids(name string) (out []cid.Cid) {
	for _, s := range p.words(name) {
		c, err := cid.Decode(s)
		if err != nil {
			p.bad(name, "CIDs with commas between, and "+strconv.Quote(s)+" is none")
			return nil
		}
		out = append(out, c)
	}
	return out
}

func parseCID(s string) (cid.Cid, error) {
	c, err := cid.Decode(s)
	if err != nil {
		return cid.Undef, pinset.Invalid("cid %q: %v", s, err).WithHint("a CID looks like bafybei… or Qm…")
	}
	return c, nil
}

// pinTemplate reads all that a pin request may say but the CID and the owner. When
// it was created is the cluster's to say: pinning again what is pinned is no change.
func (p *params) pinTemplate(now time.Time) pinset.Pin {
	pin := pinset.Pin{Name: p.get("name"), Tags: p.words("tags")}
	if len(p.values) == 0 {
		return pin
	}
	if _, err := pinset.ParseMode(p.get("mode")); err != nil {
		p.bad("mode", "recursive or direct")
	} else {
		pin.Mode, _ = pinset.ParseMode(p.get("mode"))
	}
	pin.Replication = p.replication()
	pin.Include = p.include()
	pin.ExpireAt = p.expiry(now)
	pin.Origins = p.origins()
	if pin.Priority, _ = pinset.ParsePriority(p.get("priority")); p.get("priority") != "" && p.get("priority") != pin.Priority.String() {
		p.bad("priority", "high, normal or bulk")
	}
	if v := p.get("shard-size"); v != "" {
		if _, err := strconv.ParseUint(v, 10, 64); err != nil {
			p.bad("shard-size", "a number of bytes (which has no effect)")
		}
	}
	for name := range p.values {
		if key, ok := strings.CutPrefix(name, "meta-"); ok {
			if pin.Metadata == nil {
				pin.Metadata = map[string]string{}
			}
			pin.Metadata[key] = p.get(name)
		}
	}
	return pin
}

// replication reads the number of copies: replication for both bounds, or both by
// name. A minimum alone is both; a maximum alone is unclear.
func (p *params) replication() pinset.Replication {
	r := pinset.Replication{Min: p.integer("replication-min"), Max: p.integer("replication-max")}
	if p.get("replication") != "" {
		n := p.integer("replication")
		r = pinset.Replication{Min: n, Max: n}
	}
	if r.Max == 0 {
		r.Max = r.Min
	}
	if p.err == nil {
		if err := r.Validate(); err != nil {
			p.err = pinset.Wrap(pinset.KindInvalid, err, "query parameters replication-min, replication-max")
		}
	}
	return r
}

func (p *params) include() (out []peer.ID) {
	for _, s := range p.words("user-allocations") {
		id, err := peer.Decode(s)
		if err != nil {
			p.bad("user-allocations", "peer ids with commas between, and "+strconv.Quote(s)+" is none")
			return nil
		}
		out = append(out, id)
	}
	return out
}

func (p *params) expiry(now time.Time) time.Time {
	if v := p.get("expire-at"); v != "" {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil || at.Year() > 9999 {
			p.bad("expire-at", "a time as in 2027-01-31T12:00:00Z")
		} else if !at.After(now) {
			p.bad("expire-at", "a time to come")
		}
		return at
	}
	v := p.get("expire-in")
	if v == "" {
		return time.Time{}
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second {
		p.bad("expire-in", "a duration of at least 1s, as in 48h")
	}
	return now.Add(d)
}

func (p *params) origins() []string {
	out := p.words("origins")
	for _, s := range out {
		addr, err := ma.NewMultiaddr(s)
		if err == nil {
			_, err = addr.ValueForProtocol(ma.P_P2P)
		}
		if err != nil {
			p.bad("origins", "multiaddresses with /p2p/ and a peer id, with commas between, and "+strconv.Quote(s)+" is none")
			return nil
		}
	}
	return out
}

// wish is what a request waits for after its change is durable.
type wish struct {
	seen   int // members that have heard of it
	pinned int // copies; -1: as many as the pin asks for
	limit  time.Duration
}

const waitLimit = 2 * time.Minute

// wish reads wait=accepted, seen:N, pinned:N, pinned, or several with commas.
func (p *params) wish() wish {
	w := wish{limit: waitLimit}
	for _, s := range p.words("wait") {
		what, count, counted := strings.Cut(s, ":")
		n, err := strconv.Atoi(count)
		switch {
		case what == "accepted" && !counted:
		case what == "pinned" && !counted:
			w.pinned = -1
		case what == "pinned" && err == nil && n > 0 && n <= pinset.MaxCopies:
			w.pinned = n
		case what == "seen" && err == nil && n > 0 && n <= pinset.MaxCopies:
			w.seen = n
		default:
			p.bad("wait", "accepted, seen:N, pinned or pinned:N, N being at least 1")
		}
	}
	if v := p.get("wait-timeout"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			p.bad("wait-timeout", "a duration, as in 90s")
		}
		w.limit = d
	}
	return w
}

// emptyDir is a CID that stands in where one is not known yet.
func emptyDir() cid.Cid {
	return cid.MustParse("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
}
