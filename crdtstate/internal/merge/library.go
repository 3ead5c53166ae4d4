package merge

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	ipld "github.com/ipfs/go-ipld-format"
	"google.golang.org/protobuf/proto"
)

// feeder is the Broadcaster given to the library. The library asks for the next
// message only when it has processed the last one: that is the barrier.
type feeder struct {
	messages chan []byte
	idle     chan struct{}
	busy     bool // used by Next only
}

func newFeeder() *feeder {
	return &feeder{messages: make(chan []byte), idle: make(chan struct{}, 1)}
}

// push hands blocks over and waits until the library has processed them. It cannot
// be cut short: the library would be in the middle of them.
func (f *feeder) push(_ context.Context, blocks []cid.Cid) error {
	if len(blocks) == 0 {
		return nil
	}
	m := &pb.CRDTBroadcast{Heads: make([]*pb.Head, len(blocks))}
	for i, c := range blocks {
		m.Heads[i] = &pb.Head{Cid: c.Bytes()}
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode heads: %w", err)
	}
	f.messages <- b
	<-f.idle
	return nil
}

// Next is called by the library's one broadcast loop.
func (f *feeder) Next(ctx context.Context) ([]byte, error) {
	if f.busy {
		f.busy = false
		f.idle <- struct{}{}
	}
	select {
	case b := <-f.messages:
		f.busy = true
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Broadcast does nothing: the state announces what is durable, itself.
func (*feeder) Broadcast(context.Context, []byte) error { return nil }

// dagService reads the block log. It never asks the network, and has every block
// that the library can hear of.
type dagService struct{ m *Merger }

var _ ipld.DAGService = dagService{}

var errReadOnly = errors.New("the library does not write blocks")

func (s dagService) Get(_ context.Context, c cid.Cid) (ipld.Node, error) {
	n, err := s.m.log.Node(c)
	return n, s.m.fail(err)
}

func (s dagService) GetMany(ctx context.Context, cs []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cs))
	defer close(out)
	for _, c := range cs {
		n, err := s.Get(ctx, c)
		out <- &ipld.NodeOption{Node: n, Err: err}
	}
	return out
}

func (dagService) Add(context.Context, ipld.Node) error        { return errReadOnly }
func (dagService) AddMany(context.Context, []ipld.Node) error  { return errReadOnly }
func (dagService) Remove(context.Context, cid.Cid) error       { return errReadOnly }
func (dagService) RemoveMany(context.Context, []cid.Cid) error { return errReadOnly }

// recorder turns the library's log into errors of the round: it reports failures
// nowhere else.
type recorder struct{ m *Merger }

func (r recorder) Error(args ...any)            { _ = r.m.fail(errors.New(fmt.Sprint(args...))) }
func (r recorder) Errorf(f string, args ...any) { _ = r.m.fail(fmt.Errorf(f, args...)) }
func (r recorder) Fatal(args ...any)            { r.Error(args...) }
func (r recorder) Fatalf(f string, args ...any) { r.Errorf(f, args...) }
func (r recorder) Panic(args ...any)            { r.Error(args...) }
func (r recorder) Panicf(f string, args ...any) { r.Errorf(f, args...) }
func (recorder) Debug(...any)                   {}
func (recorder) Debugf(string, ...any)          {}
func (recorder) Info(...any)                    {}
func (recorder) Infof(string, ...any)           {}
func (recorder) Warn(...any)                    {}
func (recorder) Warnf(string, ...any)           {}
