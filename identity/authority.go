package identity

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Authority is who may do what, evaluated from a set of control entries. It is
// immutable and safe for concurrent use; the same set gives the same Authority,
// in any order and however it was cut into pieces, since everything it keeps is
// a greatest value or a union:
//
//   - of the entries of one key the CRDT's winner (greater priority, then greater
//     value bytes),
//   - of a member's records the greatest seq and incarnation,
//   - of removals the highest incarnations that are gone, and who attested what,
//   - the highest feature level and secret generation.
//
// Entries must come from admitted blocks (Check). Those that do not decode are
// passed over.
type Authority struct {
	founding  *Founding
	admission []byte
	peers     map[peer.ID]*standing
	policy    winner[Policy]
	secret    winner[secretRecord]
	level     uint64

	membersOnce sync.Once
	members     []Record
	digestOnce  sync.Once
	digest      [32]byte
}

// standing is what the entries say of one peer. It is copied before a change.
type standing struct {
	record    winner[Record]
	role      winner[Role]
	seq       uint64 // greatest of its records
	inc       uint64 // greatest of its records
	goneBelow uint64 // incarnations below this are removed,
	ruledOut  uint64 // and below this by an admin or by itself, not for absence alone
	attests   map[attest]struct{}
}

type attest struct {
	signer      peer.ID
	incarnation uint64
}

// winner is the value of a key that the CRDT shows.
type winner[T any] struct {
	value    T
	raw      []byte // nil: the key was never written
	priority uint64
}

// offer takes an entry's value if it beats the one held.
func (w *winner[T]) offer(v T, e Entry) {
	if w.raw == nil || e.Priority > w.priority ||
		e.Priority == w.priority && bytes.Compare(e.Value, w.raw) > 0 {
		*w = winner[T]{v, e.Value, e.Priority}
	}
}

// merge takes the better of two.
func (w *winner[T]) merge(o winner[T]) {
	if o.raw != nil {
		w.offer(o.value, Entry{Priority: o.priority, Value: o.raw})
	}
}

// NewAuthority evaluates a set of entries. The secret is needed to check the
// proofs of member records; every peer of a cluster has it.
func NewAuthority(f *Founding, s Secret, entries ...Entry) *Authority {
	a := &Authority{founding: f, admission: s.derive(admissionInfo), peers: map[peer.ID]*standing{}, level: 1}
	return a.With(entries...)
}

// With returns the authority of the set with further entries.
func (a *Authority) With(entries ...Entry) *Authority {
	if len(entries) == 0 {
		return a
	}
	b := a.clone()
	fresh := make(map[peer.ID]bool, len(entries))
	at := func(id peer.ID) *standing { return b.own(id, fresh) }
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Key, MemberPrefix):
			b.addRecord(e, at)
		case strings.HasPrefix(e.Key, rolePrefix):
			if id, err := parsePeerKey(e.Key, rolePrefix); err == nil {
				if role, err := decodeRole(e.Value); err == nil {
					at(id).role.offer(role, e)
				}
			}
		case strings.HasPrefix(e.Key, RemovalPrefix):
			b.addRemoval(e, at)
		default:
			b.addRuling(e)
		}
	}
	return b
}

// Union returns the authority of the union of both sets. Where one contains the
// other the same pointer may come back; compare Digest to find equal sets.
func (a *Authority) Union(o *Authority) *Authority {
	if a == o || a.Digest() == o.Digest() {
		return a
	}
	b := a.clone()
	fresh := make(map[peer.ID]bool)
	for id, s := range o.peers {
		if a.peers[id] == s {
			continue
		}
		t := b.own(id, fresh)
		t.record.merge(s.record)
		t.role.merge(s.role)
		t.seq, t.inc, t.goneBelow = max(t.seq, s.seq), max(t.inc, s.inc), max(t.goneBelow, s.goneBelow)
		t.ruledOut = max(t.ruledOut, s.ruledOut)
		for k := range s.attests {
			t.attests[k] = struct{}{}
		}
	}
	b.policy.merge(o.policy)
	b.mergeSecret(o.secret)
	b.level = max(b.level, o.level)
	return b
}

func (a *Authority) clone() *Authority {
	return &Authority{
		founding: a.founding, admission: a.admission, peers: maps.Clone(a.peers),
		policy: a.policy, secret: a.secret, level: a.level,
	}
}

// own returns the standing of id for writing: a copy, made once for each change.
func (a *Authority) own(id peer.ID, fresh map[peer.ID]bool) *standing {
	if fresh[id] {
		return a.peers[id]
	}
	fresh[id] = true
	s := &standing{}
	if old := a.peers[id]; old != nil {
		*s = *old
	}
	attests := make(map[attest]struct{}, len(s.attests))
	maps.Copy(attests, s.attests)
	s.attests = attests
	a.peers[id] = s
	return s
}

func (a *Authority) addRecord(e Entry, at func(peer.ID) *standing) {
	if MemberKey(e.Author) != e.Key {
		return
	}
	r, err := peekRecord(e.Value)
	if err != nil || r.Peer != e.Author {
		return
	}
	s := at(r.Peer)
	s.record.offer(r, e)
	s.seq, s.inc = max(s.seq, r.Seq), max(s.inc, r.Incarnation)
}

func (a *Authority) addRemoval(e Entry, at func(peer.ID) *standing) {
	r, err := parseRemovalKey(e.Key)
	if err != nil || r.signer != e.Author {
		return
	}
	cause, err := decodeCause(e.Value)
	if err != nil {
		return
	}
	s := at(r.gone)
	if cause != CauseAbsent {
		s.goneBelow = max(s.goneBelow, after(r.incarnation))
	}
	if cause < CauseAbsent {
		s.ruledOut = max(s.ruledOut, after(r.incarnation))
	}
	if cause >= CauseAbsent {
		s.attests[attest{r.signer, r.incarnation}] = struct{}{}
	}
}

func (a *Authority) addRuling(e Entry) {
	switch e.Key {
	case PolicyKey:
		if p, err := DecodePolicy(e.Value); err == nil {
			a.policy.offer(p, e)
		}
	case FormatKey:
		if level, err := decodeFormat(e.Value); err == nil {
			a.level = max(a.level, level)
		}
	case SecretKey:
		if s, err := decodeSecret(e.Value); err == nil {
			a.mergeSecret(winner[secretRecord]{s, e.Value, e.Priority})
		}
	}
}

// mergeSecret keeps the highest generation, of one generation the CRDT's winner.
func (a *Authority) mergeSecret(o winner[secretRecord]) {
	switch {
	case o.raw == nil || o.value.Generation < a.secret.value.Generation:
	case o.value.Generation > a.secret.value.Generation:
		a.secret = o
	default:
		a.secret.merge(o)
	}
}

// after is the lowest incarnation above i.
func after(i uint64) uint64 { return max(i, i+1) }

// Cluster is the id of the cluster.
func (a *Authority) Cluster() ClusterID { return a.founding.id }

// Founding is the record the cluster began with.
func (a *Authority) Founding() *Founding { return a.founding }

// Members returns the records of all members, sorted by peer id. The slice is
// shared: do not change it.
func (a *Authority) Members() []Record {
	a.membersOnce.Do(func() {
		for _, s := range a.peers {
			if s.isMember() {
				a.members = append(a.members, s.record.value)
			}
		}
		slices.SortFunc(a.members, func(x, y Record) int { return cmp.Compare(x.Peer, y.Peer) })
	})
	return a.members
}

// Member returns the record of a member; false for who is none or is removed.
func (a *Authority) Member(id peer.ID) (Record, bool) {
	s := a.peers[id]
	if s == nil || !s.isMember() {
		return Record{}, false
	}
	return s.record.value, true
}

// Is says whether id is a member.
func (a *Authority) Is(id peer.ID) bool {
	s := a.peers[id]
	return s != nil && s.isMember()
}

// Ever says whether id is or was a member.
func (a *Authority) Ever(id peer.ID) bool {
	s := a.peers[id]
	return s != nil && s.record.raw != nil
}

// Role returns the role in force for id, never RoleDefault.
func (a *Authority) Role(id peer.ID) Role { return a.roleOf(id, a.peers[id]) }

// CanWrite says whether id is a member that may write pins.
func (a *Authority) CanWrite(id peer.ID) bool {
	s := a.peers[id]
	return s != nil && s.isMember() && a.roleOf(id, s) >= RoleWriter
}

// Policy is the policy in force.
func (a *Authority) Policy() Policy {
	if a.policy.raw == nil {
		return a.founding.policy
	}
	return a.policy.value
}

// Level is the feature level in force.
func (a *Authority) Level() uint64 { return a.level }

// SecretGeneration is the newest generation of the secret; 0 is the founding's.
func (a *Authority) SecretGeneration() uint64 { return a.secret.value.Generation }

// MayReturn says whether id was removed for absence alone: with a higher
// incarnation it is a member again, and nobody has to be asked. Who left, or was
// removed by an admin, needs a new invite.
func (a *Authority) MayReturn(id peer.ID) bool {
	s := a.peers[id]
	return s != nil && s.record.raw != nil && !s.isMember() && s.ruledOut < s.goneBelow
}

// Attested tells how many of the active members attest that a member is absent in
// its present incarnation, how many are active, and whether by does. No member has
// none.
func (a *Authority) Attested(gone, by peer.ID) (have, active int, mine bool) {
	s := a.peers[gone]
	if s == nil || !s.isMember() {
		return 0, 0, false
	}
	_, mine = s.attests[attest{by, s.record.value.Incarnation}]
	have, active = a.attested(gone, s.record.value.Incarnation, "")
	return have, active, mine
}

// NextIncarnation is the lowest incarnation with which id can be a member.
func (a *Authority) NextIncarnation(id peer.ID) uint64 {
	s := a.peers[id]
	if s == nil {
		return 0
	}
	return max(s.inc, s.goneBelow)
}

// NextSeq is the lowest seq that the next record of id may have.
func (a *Authority) NextSeq(id peer.ID) uint64 {
	if s := a.peers[id]; s != nil {
		return s.seq + 1
	}
	return 1
}

func (s *standing) isMember() bool {
	return s.record.raw != nil && s.record.value.Incarnation >= s.goneBelow
}

func (a *Authority) roleOf(id peer.ID, s *standing) Role {
	if s != nil && s.role.value != RoleDefault {
		return s.role.value
	}
	if id == a.founding.founder {
		return RoleAdmin
	}
	if a.policy.raw == nil {
		if a.founding.policy.Writers == ListedWriters {
			return RoleKeeper
		}
	} else if a.policy.value.Writers == ListedWriters {
		return RoleKeeper
	}
	return RoleWriter
}

// Evidence returns entries that tell of the present members, their roles and the
// policy what the whole set tells, in the order of their keys: an Authority of
// these has the same members. They say nothing of who is gone.
func (a *Authority) Evidence() []Entry {
	var out []Entry
	for id, s := range a.peers {
		if !s.isMember() {
			continue
		}
		out = append(out, Entry{Author: id, Key: MemberKey(id), Value: s.record.raw})
		if s.role.raw != nil {
			out = append(out, Entry{Key: RoleKey(id), Value: s.role.raw})
		}
	}
	if a.policy.raw != nil {
		out = append(out, Entry{Key: PolicyKey, Value: a.policy.raw})
	}
	slices.SortFunc(out, func(x, y Entry) int { return cmp.Compare(x.Key, y.Key) })
	return out
}
