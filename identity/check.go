package identity

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Check is the verdict on a block's elements when a is the authority at the
// block's ancestors. It is a pure function; nil means that every element is
// within its author's rights. Errors that wrap ErrNewer ask to park the block,
// all others to refuse it.
//
// Values under /p/, /f/ and /s/ are not looked at.
func (a *Authority) Check(author peer.ID, elems []Element) error {
	if a.level > OwnLevel {
		return fmt.Errorf("feature level %d: %w", a.level, ErrNewer)
	}
	s := a.peers[author]
	member := s != nil && s.isMember()
	entry := -1 // the author's first record in this block, found valid
	if !member {
		var err error
		if entry, err = a.checkEntry(author, elems); err != nil {
			return err
		}
	}
	role := a.roleOf(author, s)
	for i := range elems {
		e := &elems[i]
		switch prefix(e.Key) {
		case 'p', 'f':
			if role < RoleWriter {
				return fmt.Errorf("%s: %s is %s and may not write pins", e.Key, author, role)
			}
			continue
		case 's':
			if e.Tombstone {
				return fmt.Errorf("%s: cannot be removed", e.Key)
			}
			continue
		}
		if e.Tombstone {
			return fmt.Errorf("%s: cannot be removed", e.Key)
		}
		if i == entry {
			continue
		}
		if err := a.checkControl(author, role, *e); err != nil {
			return err
		}
	}
	return nil
}

// prefix returns the letter of a key's room, 0 for none.
func prefix(key string) byte {
	if len(key) < 4 || key[0] != '/' || key[2] != '/' {
		return 0
	}
	return key[1]
}

// checkEntry admits an author who is no member at the block's ancestors: it must
// bring its own valid record in this very block, and the first of all blocks
// must be the founder's.
func (a *Authority) checkEntry(author peer.ID, elems []Element) (int, error) {
	if len(a.peers) == 0 && author != a.founding.founder {
		return 0, fmt.Errorf("the first block is by %s, not by the founder", author)
	}
	key := MemberKey(author)
	for i, e := range elems {
		if e.Key == key && !e.Tombstone {
			return i, a.checkMember(author, e)
		}
	}
	if s := a.peers[author]; s != nil && s.record.raw != nil {
		return 0, fmt.Errorf("%s was removed (incarnations below %d)", author, s.goneBelow)
	}
	return 0, fmt.Errorf("%s is no member and brings no record", author)
}

func (a *Authority) checkControl(author peer.ID, role Role, e Element) error {
	if len(e.Value) > maxValue {
		return fmt.Errorf("%s: value of %d bytes, at most %d", e.Key, len(e.Value), maxValue)
	}
	switch prefix(e.Key) {
	case 'm':
		return a.checkMember(author, e)
	case 'c':
		if role != RoleAdmin {
			return fmt.Errorf("%s: %s is %s, not an admin", e.Key, author, role)
		}
		return a.checkRuling(e)
	case 'x':
		return a.checkRemoval(author, role, e)
	}
	return fmt.Errorf("%s: no such kind of key", e.Key)
}

// checkMember: /m/X by X, sequence and incarnation above those of the ancestors,
// proof of the secret, and for a first record its newest generation.
func (a *Authority) checkMember(author peer.ID, e Element) error {
	if e.Key != MemberKey(author) {
		return fmt.Errorf("%s: by %s; only the member itself may write it", e.Key, author)
	}
	r, err := a.CheckRecord(e.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	if r.Peer != author {
		return fmt.Errorf("%s: holds the record of %s", e.Key, r.Peer)
	}
	return nil
}

// CheckRecord decides whether a member record could be admitted on top of this
// authority: signature, form, proof of the secret, secret generation, sequence,
// incarnation. Gossip asks it about candidates.
func (a *Authority) CheckRecord(value []byte) (Record, error) {
	r, err := OpenRecord(a.founding.id, value)
	if err != nil {
		return Record{}, err
	}
	newest := a.SecretGeneration()
	s := a.peers[r.Peer]
	if s != nil && s.isMember() {
		if r.SecretGen < s.record.value.SecretGen || r.SecretGen > newest {
			return Record{}, fmt.Errorf("record of %s: secret generation %d: want %d to %d",
				r.Peer, r.SecretGen, s.record.value.SecretGen, newest)
		}
	} else if r.SecretGen != newest {
		return Record{}, fmt.Errorf("first record of %s: secret generation %d: want the newest, %d", r.Peer, r.SecretGen, newest)
	}
	if s != nil && r.Seq <= s.seq {
		return Record{}, fmt.Errorf("record of %s: seq %d: want above %d", r.Peer, r.Seq, s.seq)
	}
	if s != nil && r.Incarnation < max(s.inc, s.goneBelow) {
		return Record{}, fmt.Errorf("record of %s: incarnation %d: removed, or below an earlier record: want %d or more",
			r.Peer, r.Incarnation, max(s.inc, s.goneBelow))
	}
	if r.SecretGen > 0 {
		return Record{}, fmt.Errorf("record of %s: secret generation %d: %w", r.Peer, r.SecretGen, ErrNewer)
	}
	if !hmac.Equal(r.Proof, proof(a.admission, a.founding.id, r.Peer)) {
		return Record{}, fmt.Errorf("record of %s: proof: %w", r.Peer, ErrSecret)
	}
	return r, nil
}

func (a *Authority) checkRuling(e Element) error {
	switch {
	case e.Key == PolicyKey:
		_, err := DecodePolicy(e.Value)
		return err
	case e.Key == FormatKey:
		return a.checkFormat(e)
	case e.Key == SecretKey:
		s, err := decodeSecret(e.Value)
		if err != nil {
			return err
		}
		if want := a.SecretGeneration() + 1; s.Generation != want {
			return fmt.Errorf("%s: generation %d: want %d", e.Key, s.Generation, want)
		}
		return nil
	case strings.HasPrefix(e.Key, rolePrefix):
		if _, err := parsePeerKey(e.Key, rolePrefix); err != nil {
			return err
		}
		_, err := decodeRole(e.Value)
		return err
	}
	return fmt.Errorf("%s: no such ruling", e.Key)
}

// checkFormat: the level rises, and only to what every active member announces.
func (a *Authority) checkFormat(e Element) error {
	level, err := decodeFormat(e.Value)
	if err != nil {
		return err
	}
	if level <= a.level {
		return fmt.Errorf("%s: level %d: want above %d", e.Key, level, a.level)
	}
	for _, m := range a.Members() {
		if m.State == Active && m.Level < level {
			return fmt.Errorf("%s: level %d: %s understands only %d", e.Key, level, m.Peer, m.Level)
		}
	}
	return nil
}

func (a *Authority) checkRemoval(author peer.ID, role Role, e Element) error {
	r, err := parseRemovalKey(e.Key)
	if err != nil {
		return err
	}
	cause, err := decodeCause(e.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	if r.signer != author {
		return fmt.Errorf("%s: by %s, in the name of %s", e.Key, author, r.signer)
	}
	gone := a.peers[r.gone]
	if gone == nil || !gone.isMember() {
		return fmt.Errorf("%s: %s is no member", e.Key, r.gone)
	}
	current := gone.record.value.Incarnation
	if r.incarnation < current || cause != CauseAdmin && r.incarnation != current {
		return fmt.Errorf("%s: its incarnation is %d", e.Key, current)
	}
	switch cause {
	case CauseSelf:
		if r.gone != author {
			return fmt.Errorf("%s: %s cannot leave for another", e.Key, author)
		}
		return nil
	case CauseAdmin:
		if role != RoleAdmin {
			return fmt.Errorf("%s: %s is %s, not an admin", e.Key, author, role)
		}
		return nil
	}
	return a.checkAttest(author, r, cause)
}

// checkAttest: active members attest each other's absence; the one with whom they
// are more than half may say so.
func (a *Authority) checkAttest(author peer.ID, r removal, cause Cause) error {
	if m, ok := a.Member(author); !ok || m.State != Active || author == r.gone {
		return fmt.Errorf("%s: only another active member can attest", RemovalKey(r.gone, r.incarnation, r.signer))
	}
	if cause == CauseAbsent {
		return nil
	}
	have, active := a.attested(r.gone, r.incarnation, author)
	if 2*have <= active {
		return fmt.Errorf("%s: attested by %d of %d active members: want more than half",
			RemovalKey(r.gone, r.incarnation, r.signer), have, active)
	}
	return nil
}

// attested counts the active members that attest, and author with them, and all
// active members, the absent one included.
func (a *Authority) attested(gone peer.ID, incarnation uint64, author peer.ID) (have, active int) {
	s := a.peers[gone]
	for _, m := range a.Members() {
		if m.State != Active {
			continue
		}
		active++
		if _, ok := s.attests[attest{m.Peer, incarnation}]; ok || m.Peer == author {
			have++
		}
	}
	return have, active
}

// Removal returns the element by which signer removes a member, or attests its
// absence, with the strongest cause that is signer's under this authority. Who
// left or was absent can come back with a higher incarnation; an admin's removal
// made here bars the key for good.
func (a *Authority) Removal(gone, signer peer.ID) (Element, error) {
	m, ok := a.Member(gone)
	if !ok {
		return Element{}, fmt.Errorf("remove %s: no member", gone)
	}
	if !a.Is(signer) {
		return Element{}, errors.New("remove member: this peer is no member")
	}
	switch {
	case gone == signer:
		return a.removal(gone, signer, m.Incarnation, CauseSelf)
	case a.Role(signer) == RoleAdmin:
		return a.removal(gone, signer, LastIncarnation, CauseAdmin)
	}
	return a.Absence(gone, signer)
}

// Absence returns the element by which signer, whatever its role, attests that a
// member is absent; it removes the member if more than half of the active ones do
// so with it.
func (a *Authority) Absence(gone, signer peer.ID) (Element, error) {
	m, ok := a.Member(gone)
	if !ok {
		return Element{}, fmt.Errorf("attest absence of %s: no member", gone)
	}
	cause := CauseAbsent
	if have, active := a.attested(gone, m.Incarnation, signer); 2*have > active {
		cause = CauseMajority
	}
	return a.removal(gone, signer, m.Incarnation, cause)
}

func (a *Authority) removal(gone, signer peer.ID, incarnation uint64, cause Cause) (Element, error) {
	value, err := cause.Encode()
	if err != nil {
		return Element{}, fmt.Errorf("remove %s: %w", gone, err)
	}
	e := Element{Key: RemovalKey(gone, incarnation, signer), Value: value}
	return e, a.checkControl(signer, a.Role(signer), e)
}

// peekRecord decodes a sealed record of an admitted block without verifying its
// signature again.
func peekRecord(value []byte) (Record, error) {
	payload, err := peekPayload(value)
	if err != nil {
		return Record{}, err
	}
	return decodeRecord(payload)
}
