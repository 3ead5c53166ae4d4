package whatif

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

// World is a membership and a policy as they might become.
type World struct {
	Members  []allocation.Member
	Policy   allocation.Policy
	Lent     map[peer.ID]uint64 // bytes
	Names    map[peer.ID]string // of those who would join
	Warnings []string

	find   func(name string) (identity.Record, error)
	joined int
}

// New returns the world as it is. Find tells which member people mean by a name or
// an id.
func New(a *identity.Authority, members []allocation.Member, policy allocation.Policy, find func(string) (identity.Record, error)) *World {
	w := &World{Members: members, Policy: policy, Lent: map[peer.ID]uint64{}, Names: map[peer.ID]string{}, find: find}
	for _, r := range a.Members() {
		w.Lent[r.Peer] = r.Lent
	}
	return w
}

// View is who would hold what.
func (w *World) View() *allocation.View { return allocation.NewView(w.Members, w.Policy) }

// forms are the changes that can be asked about, as people write them.
func forms() []string {
	return []string{"join:SIZE[@HOME]", "leave:NAME", "drain:NAME", "give:NAME=SIZE", "mirror:NAME=OTHER", "replication=N"}
}

// Apply makes one change. KindInvalid names what is wrong and what is possible.
func (w *World) Apply(text string) error {
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
func (w *World) join(text, rest string) error {
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
	w.Members, w.Lent[m.ID], w.Names[m.ID] = append(w.Members, m), size, fmt.Sprintf("joiner %d", w.joined)
	return nil
}

// site is where somebody at a home stands: where those of that name stand who are
// there already.
func (w *World) site(home string) []string {
	if home == "" {
		return nil
	}
	var known []string
	for _, m := range w.Members {
		if n := len(m.Domains); n > 0 && (m.Domains[n-1] == home || strings.Join(m.Domains, "/") == home) {
			return slices.Clone(m.Domains)
		}
		known = append(known, m.Domains...)
	}
	slices.Sort(known)
	path := strings.Split(home, "/")
	for _, word := range path {
		if near := pinset.Nearest(word, known); near != "" && near != word {
			w.Warnings = append(w.Warnings, fmt.Sprintf("nobody stands at %q yet; did you mean %s?", word, near))
		}
	}
	return path
}

func (w *World) leave(text, name string) error {
	i, err := w.named(text, name)
	if err == nil {
		w.Members = slices.Delete(w.Members, i, i+1)
	}
	return err
}

func (w *World) drain(text, name string) error {
	i, err := w.named(text, name)
	if err == nil {
		w.Members[i].State = allocation.Draining
	}
	return err
}

func (w *World) give(text, rest string) error {
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
		w.Members[i].Cap, w.Lent[w.Members[i].ID] = size>>20, size
	}
	return err
}

func (w *World) mirror(text, rest string) error {
	name, other, ok := lastCut(rest, "=")
	if !ok {
		return pinset.Invalid("--if %q: want mirror:NAME=OTHER, or mirror:NAME=* for the whole pinset", text)
	}
	i, err := w.named(text, name)
	if err != nil {
		return err
	}
	if other == pinset.MirrorAll {
		w.Members[i].Mirror = true
		return nil
	}
	j, err := w.named(text, other)
	if err == nil {
		w.Members[i].Mirrors = append(slices.Clone(w.Members[i].Mirrors), w.Members[j].ID)
	}
	return err
}

func (w *World) replicate(text, count string) error {
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
	w.Policy.Replication = r
	return nil
}

// named finds a member that is (still) there.
func (w *World) named(text, name string) (int, error) {
	r, err := w.find(name)
	if err != nil {
		return 0, &pinset.Error{Kind: pinset.KindOf(err), Msg: fmt.Sprintf("--if %q", text), Hint: pinset.HintOf(err), Err: err}
	}
	i := slices.IndexFunc(w.Members, func(m allocation.Member) bool { return m.ID == r.Peer })
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
