package epoch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
)

// pendingKey: number -> a delta that is to be signed anew.
const pendingKey = 'q'

// What one delta of those may hold.
const (
	reissueChanges = 400
	reissueBytes   = 512 << 10
)

// Reissue keeps in this epoch what blocks of the one before said that have no place
// here, until it is signed anew (Pending): additions that were still live there, as
// additions that remove nothing; removals of what is live here, by its identity. So
// what others pinned or removed meanwhile stays as they left it.
func (e *Epoch) Reissue(old *Epoch, orphans []gate.Inspected) error {
	among := map[string]bool{}
	for _, o := range orphans {
		among[dshelp.MultihashToDsKey(o.CID.Hash()).String()] = true
	}
	var b kv.Batch
	d, size, n := &pb.Delta{}, 0, uint64(0)
	flush := func() error {
		if len(d.Elements)+len(d.Tombstones) == 0 {
			return nil
		}
		raw, err := proto.Marshal(d)
		if err != nil {
			return fmt.Errorf("keep what is to be signed anew: %w", err)
		}
		b.Put(binary.BigEndian.AppendUint64([]byte{pendingKey}, n), raw)
		d, size, n = &pb.Delta{}, 0, n+1
		return nil
	}
	if err := e.inherit(old, func(waiting *pb.Delta) error {
		d = waiting
		return flush()
	}); err != nil {
		return err
	}
	names := map[string]bool{} // keys of the delta: it names each once
	for _, o := range orphans {
		adds, err := old.stillLive(o)
		if err != nil {
			return err
		}
		removals, err := e.takesOut(o.Delta.Tombstones, among)
		if err != nil {
			return err
		}
		more := 0
		for _, el := range adds {
			more += len(el.Key) + len(el.Value)
		}
		for _, t := range removals {
			more += len(t.Key) + len(t.Id)
		}
		again := slices.ContainsFunc(adds, func(el *pb.Element) bool { return names[el.Key] })
		if full := len(d.Elements) + len(d.Tombstones) + len(adds) + len(removals); again || full > reissueChanges || size+more > reissueBytes {
			if err := flush(); err != nil {
				return err
			}
			clear(names)
		}
		size += more
		for _, el := range adds {
			names[el.Key] = true
			d.Elements = append(d.Elements, &pb.Element{Key: el.Key, Value: el.Value})
		}
		for _, t := range removals {
			if !slices.ContainsFunc(d.Tombstones, func(x *pb.Element) bool { return x.Key == t.Key && x.Id == t.Id }) {
				d.Tombstones = append(d.Tombstones, t)
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return e.db.Apply(&b, true)
}

// inherit yields what was to be signed anew in the epoch before, and was not yet: its
// author was no member.
func (e *Epoch) inherit(old *Epoch, yield func(*pb.Delta) error) error {
	var waiting []*pb.Delta
	var bad error
	err := old.db.Scan([]byte{pendingKey}, []byte{pendingKey + 1}, func(_, v []byte) bool {
		d := &pb.Delta{}
		bad = proto.Unmarshal(v, d)
		waiting = append(waiting, d)
		return bad == nil
	})
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	for _, d := range waiting {
		var err error
		if d.Tombstones, err = e.takesOut(d.Tombstones, nil); err != nil {
			return err
		}
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}

// stillLive returns the elements of a settled block that are live.
func (e *Epoch) stillLive(in gate.Inspected) ([]*pb.Element, error) {
	pos, err := e.reader.Position(in.CID)
	if err != nil || pos < 0 {
		return nil, err
	}
	var out []*pb.Element
	for _, el := range in.Delta.Elements {
		c, err := merge.Read(e.db, el.Key)
		if err != nil {
			return nil, err
		}
		if slices.Contains(c.Live, uint64(pos)) {
			out = append(out, el)
		}
	}
	return out, nil
}

// takesOut returns the removals that take something out here.
func (e *Epoch) takesOut(removals []*pb.Element, among map[string]bool) ([]*pb.Element, error) {
	var out []*pb.Element
	for _, t := range removals {
		if among[t.Id] {
			continue // what it removes is not live there, so it is not signed anew
		}
		mh, err := dshelp.DsKeyToMultihash(ds.RawKey(t.Id))
		if err != nil {
			return nil, err
		}
		pos, err := e.reader.Position(cid.NewCidV1(cid.DagProtobuf, mh))
		if err != nil {
			return nil, err
		}
		c, err := merge.Read(e.db, t.Key)
		if err != nil {
			return nil, err
		}
		if pos >= 0 && slices.Contains(c.Live, uint64(pos)) {
			out = append(out, t)
		}
	}
	return out, nil
}

// Pending returns the first delta that is to be signed anew; nil when there is none.
// Done forgets it.
func (e *Epoch) Pending() (d *pb.Delta, number uint64, err error) {
	var bad error
	err = e.db.Scan([]byte{pendingKey}, []byte{pendingKey + 1}, func(k, v []byte) bool {
		d, number = &pb.Delta{}, binary.BigEndian.Uint64(k[1:])
		bad = proto.Unmarshal(v, d)
		return false
	})
	if err == nil {
		err = bad
	}
	return d, number, err
}

// Done forgets a pending delta.
func (e *Epoch) Done(number uint64) error {
	var b kv.Batch
	b.Delete(binary.BigEndian.AppendUint64([]byte{pendingKey}, number))
	return e.db.Apply(&b, true)
}

// RaiseSeq makes the next delta of an author have a number above seq: it signed that
// many, whether or not they are here.
func (e *Epoch) RaiseSeq(id peer.ID, seq uint64) error {
	if e.log.Seq(id) >= seq {
		return nil
	}
	var b kv.Batch
	e.log.Raise(&b, id, seq)
	return e.db.Apply(&b, true)
}
