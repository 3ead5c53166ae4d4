package identity

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// ErrNewer is wrapped by errors about things made by a newer pinfold. A block
// with such a verdict is parked until this peer is updated, never refused.
var ErrNewer = errors.New("from a newer pinfold: update this one")

// Keys of control entries.
const (
	MemberPrefix  = "/m/"
	ControlPrefix = "/c/"
	RemovalPrefix = "/x/"
	PinPrefix     = "/p/"
	FollowPrefix  = "/f/"
	SizePrefix    = "/s/"

	PolicyKey = "/c/policy"
	FormatKey = "/c/format"
	SecretKey = "/c/secret"

	rolePrefix = "/c/role/"
)

// MemberKey is where the record of id is.
func MemberKey(id peer.ID) string { return MemberPrefix + id.String() }

// RoleKey is where the role of id is.
func RoleKey(id peer.ID) string { return rolePrefix + id.String() }

// RemovalKey is where signer's word is that an incarnation of a peer is gone.
func RemovalKey(gone peer.ID, incarnation uint64, signer peer.ID) string {
	return RemovalPrefix + gone.String() + "/" + strconv.FormatUint(incarnation, 10) + "/" + signer.String()
}

// IsControl says whether a key's entries decide who may do what.
func IsControl(key string) bool {
	return len(key) > 3 && key[0] == '/' && key[2] == '/' && (key[1] == 'm' || key[1] == 'c' || key[1] == 'x')
}

// Entry is one admitted write to a control key.
type Entry struct {
	Author   peer.ID
	Seq      uint64 // of the author's delta
	Priority uint64 // of that delta: its height
	Key      string
	Value    []byte
}

// Element is one change of a block: a value, or the removal of a key.
type Element struct {
	Key       string
	Value     []byte
	Tombstone bool
}

// Role is what a member may do beside holding data.
type Role uint8

const (
	RoleDefault  Role = iota // what the policy says: writer or keeper; the founder: admin
	RoleObserver             // looks on, holds nothing
	RoleKeeper               // holds data, writes no pins
	RoleWriter               // writes pins
	RoleAdmin                // writes pins, policy and roles, removes members
)

func (r Role) String() string {
	switch r {
	case RoleObserver:
		return "observer"
	case RoleKeeper:
		return "keeper"
	case RoleWriter:
		return "writer"
	case RoleAdmin:
		return "admin"
	}
	return "default"
}

// ParseRole reads what String wrote.
func ParseRole(s string) (Role, error) {
	for r := RoleDefault; r <= RoleAdmin; r++ {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q: want admin, writer, keeper, observer or default", s)
}

type roleRecord struct {
	Role string `cbor:"role"`
}

// Encode returns the value of a RoleKey.
func (r Role) Encode() ([]byte, error) { return canon.Marshal(roleRecord{Role: r.String()}) }

func decodeRole(value []byte) (Role, error) {
	var w roleRecord
	if _, err := decodeExact(value, &w); err != nil {
		return 0, fmt.Errorf("read role: %w", err)
	}
	return ParseRole(w.Role)
}

type formatRecord struct {
	Level uint64 `cbor:"level"`
}

// EncodeFormat returns the value of FormatKey.
func EncodeFormat(level uint64) ([]byte, error) { return canon.Marshal(formatRecord{Level: level}) }

func decodeFormat(value []byte) (uint64, error) {
	var w formatRecord
	if _, err := decodeExact(value, &w); err != nil {
		return 0, fmt.Errorf("read format: %w", err)
	}
	if w.Level == 0 {
		return 0, fmt.Errorf("read format: level 0")
	}
	return w.Level, nil
}

// secretRecord announces a new generation of the secret. Rotation is not part of
// this level; the record is known so that older peers park what follows it.
type secretRecord struct {
	Generation uint64 `cbor:"gen"`
	Admission  []byte `cbor:"admission"` // hash of its admission key
}

// EncodeSecret returns the value of SecretKey that announces a generation.
func EncodeSecret(generation uint64, s Secret) ([]byte, error) {
	return canon.Marshal(secretRecord{Generation: generation, Admission: s.admissionHash()})
}

func decodeSecret(value []byte) (secretRecord, error) {
	var w secretRecord
	if _, err := decodeExact(value, &w); err != nil {
		return w, fmt.Errorf("read secret generation: %w", err)
	}
	if w.Generation == 0 || len(w.Admission) != 32 {
		return w, fmt.Errorf("read secret generation: generation %d, hash of %d bytes", w.Generation, len(w.Admission))
	}
	return w, nil
}

// Cause is on what ground a member is removed.
type Cause uint8

const (
	CauseSelf     Cause = iota // it leaves
	CauseAdmin                 // an admin removes it
	CauseAbsent                // a member attests its absence; alone it removes nobody
	CauseMajority              // with it, more than half of the active members attest
)

func (c Cause) String() string {
	return [...]string{"self", "admin", "absent", "majority"}[c&3]
}

type removalRecord struct {
	Cause string `cbor:"cause"`
}

// Encode returns the value of a RemovalKey.
func (c Cause) Encode() ([]byte, error) { return canon.Marshal(removalRecord{Cause: c.String()}) }

func decodeCause(value []byte) (Cause, error) {
	var w removalRecord
	if _, err := decodeExact(value, &w); err != nil {
		return 0, fmt.Errorf("read removal: %w", err)
	}
	for c := CauseSelf; c <= CauseMajority; c++ {
		if c.String() == w.Cause {
			return c, nil
		}
	}
	return 0, fmt.Errorf("read removal: cause %q: want self, admin, absent or majority", w.Cause)
}

// removal is what a RemovalKey names.
type removal struct {
	gone, signer peer.ID
	incarnation  uint64
}

func parseRemovalKey(key string) (removal, error) {
	parts := strings.Split(strings.TrimPrefix(key, RemovalPrefix), "/")
	if len(parts) != 3 {
		return removal{}, fmt.Errorf("key %q: want /x/<peer>/<incarnation>/<signer>", key)
	}
	var r removal
	var err error
	if r.gone, err = peer.Decode(parts[0]); err != nil {
		return removal{}, fmt.Errorf("key %q: %w", key, err)
	}
	if r.signer, err = peer.Decode(parts[2]); err != nil {
		return removal{}, fmt.Errorf("key %q: %w", key, err)
	}
	if r.incarnation, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return removal{}, fmt.Errorf("key %q: %w", key, err)
	}
	if RemovalKey(r.gone, r.incarnation, r.signer) != key {
		return removal{}, fmt.Errorf("key %q: a second spelling", key)
	}
	return r, nil
}

// parsePeerKey reads the peer id that ends a key, in its one spelling.
func parsePeerKey(key, prefix string) (peer.ID, error) {
	id, err := peer.Decode(strings.TrimPrefix(key, prefix))
	if err != nil {
		return "", fmt.Errorf("key %q: %w", key, err)
	}
	if prefix+id.String() != key {
		return "", fmt.Errorf("key %q: a second spelling", key)
	}
	return id, checkPeer(id)
}
