package identity

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Digest tells sets of entries apart: two authorities with the same digest give
// the same answers. It is computed once.
func (a *Authority) Digest() [32]byte {
	a.digestOnce.Do(func() {
		h := sha256.New()
		writeField(h, string(a.founding.id))
		writeField(h, string(a.policy.raw))
		writeField(h, string(a.secret.raw))
		writeNumbers(h, a.policy.priority, a.secret.priority, a.level)
		ids := make([]peer.ID, 0, len(a.peers))
		for id := range a.peers {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			writeField(h, string(id))
			a.peers[id].write(h)
		}
		h.Sum(a.digest[:0])
	})
	return a.digest
}

func (s *standing) write(h hash.Hash) {
	writeField(h, string(s.record.raw))
	writeField(h, string(s.role.raw))
	writeNumbers(h, s.record.priority, s.role.priority, s.seq, s.inc, s.goneBelow, s.ruledOut, uint64(len(s.attests)))
	all := make([]attest, 0, len(s.attests))
	for k := range s.attests {
		all = append(all, k)
	}
	slices.SortFunc(all, func(x, y attest) int {
		return cmp.Or(cmp.Compare(x.signer, y.signer), cmp.Compare(x.incarnation, y.incarnation))
	})
	for _, k := range all {
		writeField(h, string(k.signer))
		writeNumbers(h, k.incarnation)
	}
}

func writeField(h hash.Hash, s string) {
	writeNumbers(h, uint64(len(s)))
	h.Write([]byte(s))
}

func writeNumbers(h hash.Hash, ns ...uint64) {
	var b [8]byte
	for _, n := range ns {
		binary.BigEndian.PutUint64(b[:], n)
		h.Write(b[:])
	}
}
