package receipt

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Document is a signed receipt as it is handed out, by who has the cluster's secret:
// where the founder has left, only such can verify it.
func Document(c identity.ClusterID, signed []byte, secret *identity.Secret) (pinset.SignedReceipt, error) {
	k, err := judge(c, signed, secret)
	if err == nil && len(k.faults) > 0 {
		err = pinset.Errorf(pinset.KindConflict, "%s", k.faults[0])
	}
	return pinset.SignedReceipt{Format: pinset.ReceiptFormat, Claims: k.claims, Signed: signed}, err
}

// Verify says what a document is worth: of its Claims only what Signed shows by
// itself is believed. A secret of the cluster, or nil, ties its members to it also
// where the founder has left. An error: it is no receipt at all.
func Verify(doc pinset.SignedReceipt, secret func(identity.ClusterID) *identity.Secret) (pinset.ReceiptCheck, error) {
	if doc.Format != pinset.ReceiptFormat {
		return pinset.ReceiptCheck{}, pinset.Invalid("format %q: want %s", doc.Format, pinset.ReceiptFormat)
	}
	id, err := identity.ParseClusterID(doc.Claims.Cluster)
	if err != nil {
		return pinset.ReceiptCheck{}, pinset.Invalid("%v", err)
	}
	var s *identity.Secret
	if secret != nil {
		s = secret(id)
	}
	k, err := judge(id, doc.Signed, s)
	out := pinset.ReceiptCheck{Claims: k.claims, Faults: k.faults, Notes: k.notes}
	if err != nil {
		out.Faults = append(out.Faults, err.Error())
	} else if !sameJSON(doc.Claims, k.claims) {
		out.Faults = append(out.Faults, "what it says in the open is not what is signed")
	}
	out.Valid = len(out.Faults) == 0
	return out, nil
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// judging is a receipt that is being looked at.
type judging struct {
	Receipt
	founding *identity.Founding
	auth     *identity.Authority
	view     *allocation.View
	claims   pinset.Claims
	faults   []string
	notes    []string
}

func (k *judging) fault(format string, args ...any) {
	k.faults = append(k.faults, fmt.Sprintf(format, args...))
}

func (k *judging) note(format string, args ...any) {
	k.notes = append(k.notes, fmt.Sprintf(format, args...))
}

// judge reads a signed receipt. An error: there is nothing to judge.
func judge(c identity.ClusterID, signed []byte, secret *identity.Secret) (*judging, error) {
	k := &judging{}
	r, issuer, f, err := Open(c, signed)
	if err != nil {
		return k, err
	}
	k.Receipt, k.founding = r, f
	k.claims = pinset.Claims{
		CID: r.CID.String(), Cluster: string(c), Name: f.Name(), At: r.At, Issuer: issuer, Membership: hex.EncodeToString(r.View[:]),
	}
	k.membership(secret)
	if m, ok := k.auth.Member(issuer); ok {
		k.claims.IssuerName = m.Name
	} else {
		k.fault("its issuer %s is no member", issuer)
	}
	k.pins()
	k.words()
	return k, nil
}

// membership checks the records, and what ties them to the founding record.
func (k *judging) membership(secret *identity.Secret) {
	entries := slices.Clone(k.Evidence)
	for i, e := range entries {
		text, record := strings.CutPrefix(e.Key, identity.MemberPrefix)
		if !record {
			continue
		}
		r, err := identity.OpenRecord(k.founding.ID(), e.Value)
		if err != nil || r.Peer.String() != text {
			k.fault("the record of member %s: %v", text, cmp.Or(err, identity.ErrForged))
		}
		entries[i].Author = r.Peer
	}
	k.auth = identity.NewAuthority(k.founding, identity.Secret{}, entries...)
	if !slices.IsSortedFunc(entries, func(x, y identity.Entry) int { return cmp.Compare(x.Key, y.Key) }) || !sameEntries(k.auth.Evidence(), entries) {
		k.fault("its records are not those of one membership")
	}
	k.view = allocation.NewView(roster.Of(k.auth))
	k.claims.Members = len(k.auth.Members())
	if k.view.Digest() != k.View {
		k.fault("its records are of another membership than it names: %x", k.view.Digest())
	}
	k.vouched(secret)
}

func sameEntries(a, b []identity.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y identity.Entry) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) })
}

// vouched: the founder's statement names the membership, or whoever looks has the
// secret by which every member was admitted.
func (k *judging) vouched(secret *identity.Secret) {
	if secret != nil && k.founding.CheckSecret(*secret) == nil {
		for _, m := range k.auth.Members() {
			if !hmac.Equal(m.Proof, secret.Proof(k.founding.ID(), m.Peer)) {
				k.fault("%s (%s) did not have the cluster's secret", m.Name, m.Peer)
			}
		}
		k.note("every member had the cluster's secret, which is here")
		return
	}
	if k.Founder == nil {
		k.fault("nothing ties its members to the founder of the cluster, who has left or is silent: only who has the cluster's secret can verify it")
		return
	}
	s, err := statement.Open(k.founding.ID(), k.Founder)
	switch {
	case err != nil:
		k.fault("the founder's statement: %v", err)
	case s.Author != k.founding.Founder():
		k.fault("the founder's statement is one of %s", s.Author)
	case s.View != k.View:
		k.fault("the founder's statement names another membership: %x", s.View)
	default:
		k.note("these are the members as the founder said on %s", s.At.Format(time.RFC3339))
	}
}

func (k *judging) pins() {
	if len(k.Pins) == 0 {
		k.fault("it has no pin")
	}
	last := ""
	for _, p := range k.Pins {
		key := p.Pin.Key()
		if key <= last {
			k.fault("its pins are not in order")
		}
		last = key
		if !pinset.V1(p.Pin.CID).Equals(pinset.V1(k.CID)) {
			k.fault("it has a pin of %s", p.Pin.CID)
		}
		k.claims.Needed = max(k.claims.Needed, k.view.Allocate(roster.Item(p.Pin, k.Size)).Binding)
		k.claims.Pins = append(k.claims.Pins, pinset.Claimed{Owner: p.Pin.Owner, Name: p.Pin.Name, Mode: p.Pin.Mode.String(), Author: p.By.Author, Seq: p.By.Seq})
	}
	k.note("that it is pinned, on the issuer's word")
}

// Covers says whether a statement is that its author holds the CID: it was made
// under the membership, knew the pins, policy and size, and does not except it.
func (r *Receipt) Covers(v *allocation.View, s *statement.Statement) (why string) {
	if s.View != r.View {
		return fmt.Sprintf("it is about another membership: %x", s.View)
	}
	if r.PolicyBy.Author != "" && !s.Covers(r.PolicyBy.Author, r.PolicyBy.Seq) {
		return "it was made before the policy"
	}
	if s.Except.Has(statement.Hash(r.CID.Hash())) {
		return "it says that this is missing"
	}
	why = "it is not assigned there"
	for _, p := range r.Pins {
		sized := r.Size >= roster.ClassSize && r.Size > p.Pin.Size
		switch {
		case !v.Holds(s.Author, roster.Item(p.Pin, r.Size)):
		case !s.Covers(p.By.Author, p.By.Seq), sized && !s.Covers(r.SizeBy.Author, r.SizeBy.Seq):
			why = "it was made before the pin"
		default:
			return ""
		}
	}
	return why
}

func (k *judging) words() {
	if len(k.Words) == 0 {
		k.fault("nobody says that it is held")
	}
	var last peer.ID
	for _, w := range k.Words {
		if w.Holder <= last {
			k.fault("its holders are not in order")
		}
		last = w.Holder
		m, ok := k.auth.Member(w.Holder)
		if !ok {
			k.fault("the holder %s is no member", w.Holder)
			continue
		}
		latest := k.word(m, "latest", w.Latest)
		first := latest
		if w.First != nil {
			first = k.word(m, "first", w.First)
		}
		if latest == nil || first == nil {
			continue
		}
		if first.Seq > latest.Seq || w.First != nil && first.Seq == latest.Seq {
			k.fault("%s: its first statement is not before its latest", m.Name)
			continue
		}
		k.claims.Holders = append(k.claims.Holders, pinset.Holder{Peer: w.Holder, Name: m.Name, Since: first.At, Said: latest.At, Statement: latest.Seq})
	}
}

// word returns a statement if it is a holder's that covers the CID.
func (k *judging) word(m identity.Record, which string, raw []byte) *statement.Statement {
	s, err := statement.Open(k.founding.ID(), raw)
	switch {
	case err != nil:
		k.fault("%s: its %s statement: %v", m.Name, which, err)
	case s.Author != m.Peer:
		k.fault("%s: its %s statement is one of %s", m.Name, which, s.Author)
	default:
		why := k.Covers(k.view, s)
		if why == "" {
			return s
		}
		k.fault("%s: its %s statement does not say that it holds this: %s", m.Name, which, why)
	}
	return nil
}
