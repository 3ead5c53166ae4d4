package cluster

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// whatIf is a membership as it might become. It starts as the present one.
type whatIf struct {
	a        *identity.Authority
	members  []allocation.Member
	policy   allocation.Policy
	lent     map[peer.ID]uint64 // bytes
	names    map[peer.ID]string // of those who would join
	joined   int
	warnings []string
}

func newWhatIf(a *identity.Authority) *whatIf {
	w := &whatIf{a: a, lent: map[peer.ID]uint64{}, names: map[peer.ID]string{}}
	w.members, w.policy = allocationInput(a)
	for _, r := range a.Members() {
		w.lent[r.Peer] = r.Lent
	}
	return w
}

// forms are the changes that can be asked about, as people write them.
func forms() []string {
	return []string{"join:SIZE[@HOME]", "leave:NAME", "drain:NAME", "give:NAME=SIZE", "mirror:NAME=OTHER", "replication=N"}
}

// apply makes one change. KindInvalid names what is wrong and what is possible.
func (w *whatIf) apply(text string) error {
	verb, rest, _ := strings.Cut(text, ":")
	if count, ok := strings.CutPrefix(text, "replication="); ok {
		return w.replicate(text, count)
	}
	do, ok := map[string]func(string, string) error{
		"join": w.join, "leave": w.leave, "drain": w.drain, "give": w.give, "mirror": w.mirror,
	}[verb]
	if !ok || rest == "" {
		e := pinset.Invalid("--if %q: want one of %s", text, strings.Join(forms(), ", "))
		if near := pinset.Nearest(verb, []string{"join", "leave", "drain", "give", "mirror", "replication"}); near != "" && !ok {
			e = e.WithHint("did you mean %s?", near)
		}
		return e
	}
	return do(text, rest)
}

// join adds a member: 2TB, 2TB@home3 or 2TB@fr/home3.
func (w *whatIf) join(text, rest string) error {
	amount, site, sited := strings.Cut(rest, "@")
	size, err := offer(text, amount)
	if err != nil {
		return err
	}
	if sited && (site == "" || slices.Contains(strings.Split(site, "/"), "")) {
		return pinset.Invalid("--if %q: home %q: want a name, or REGION/NAME", text, site)
	}
	w.joined++
	m := allocation.Member{Cap: size >> 20, Phi: identity.FullPhi, Domains: w.site(site)}
	sum := sha256.Sum256(fmt.Appendf(nil, "pinfold/joiner/%d", w.joined))
	m.ID = peer.ID(sum[:])
	w.members, w.lent[m.ID], w.names[m.ID] = append(w.members, m), size, fmt.Sprintf("joiner %d", w.joined)
	return nil
}

// site is where somebody at a home stands: where those of that name stand who are
// there already.
func (w *whatIf) site(home string) []string {
	if home == "" {
		return nil
	}
	var known []string
	for _, m := range w.members {
		if n := len(m.Domains); n > 0 && (m.Domains[n-1] == home || siteName(m.Domains) == home) {
			return slices.Clone(m.Domains)
		}
		known = append(known, m.Domains...)
	}
	slices.Sort(known)
	path := strings.Split(home, "/")
	for _, word := range path {
		if near := pinset.Nearest(word, known); near != "" && near != word {
			w.warnings = append(w.warnings, fmt.Sprintf("nobody stands at %q yet; did you mean %s?", word, near))
		}
	}
	return path
}

func (w *whatIf) leave(text, name string) error {
	i, err := w.named(text, name)
	if err == nil {
		w.members = slices.Delete(w.members, i, i+1)
	}
	return err
}

func (w *whatIf) drain(text, name string) error {
	i, err := w.named(text, name)
	if err == nil {
		w.members[i].State = allocation.Draining
	}
	return err
}

func (w *whatIf) give(text, rest string) error {
	name, amount, ok := lastCut(rest, "=")
	if !ok {
		return pinset.Invalid("--if %q: want give:NAME=SIZE", text)
	}
	size, err := offer(text, amount)
	if err != nil {
		return err
	}
	i, err := w.named(text, name)
	if err == nil {
		w.members[i].Cap, w.lent[w.members[i].ID] = size>>20, size
	}
	return err
}

func (w *whatIf) mirror(text, rest string) error {
	name, other, ok := lastCut(rest, "=")
	if !ok {
		return pinset.Invalid("--if %q: want mirror:NAME=OTHER, or mirror:NAME=* for the whole pinset", text)
	}
	i, err := w.named(text, name)
	if err != nil {
		return err
	}
	if other == pinset.MirrorAll {
		w.members[i].Mirror = true
		return nil
	}
	j, err := w.named(text, other)
	if err == nil {
		w.members[i].Mirrors = append(slices.Clone(w.members[i].Mirrors), w.members[j].ID)
	}
	return err
}

func (w *whatIf) replicate(text, count string) error {
	low, high, span := strings.Cut(count, "..")
	if !span {
		high = low
	}
	r := pinset.Replication{}
	var err, err2 error
	r.Min, err = strconv.Atoi(low)
	r.Max, err2 = strconv.Atoi(high)
	if err != nil || err2 != nil || r.IsDefault() || r.Validate() != nil {
		return pinset.Invalid("--if %q: %q copies: want a number from 1, two as in 2..3, or -1 for every member", text, count)
	}
	w.policy.Replication = r
	return nil
}

// named finds a member that is (still) there.
func (w *whatIf) named(text, name string) (int, error) {
	r, err := memberNamed(w.a, name)
	if err != nil {
		return 0, &pinset.Error{Kind: pinset.KindOf(err), Msg: fmt.Sprintf("--if %q", text), Hint: pinset.HintOf(err), Err: err}
	}
	i := slices.IndexFunc(w.members, func(m allocation.Member) bool { return m.ID == r.Peer })
	if i < 0 {
		return 0, pinset.Invalid("--if %q: %s leaves already", text, name)
	}
	return i, nil
}

// offer reads what somebody would lend.
func offer(text, amount string) (uint64, error) {
	size, err := pinset.ParseSize(amount)
	if err != nil {
		return 0, pinset.Invalid("--if %q: %w", text, err)
	}
	if size < 1<<20 {
		return 0, pinset.Invalid("--if %q: %s: want at least 1 MiB (is the unit missing?)", text, pinset.FormatSize(size))
	}
	return size, nil
}

// lastCut cuts around the last separator: names may contain it.
func lastCut(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
