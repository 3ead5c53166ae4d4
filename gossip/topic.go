package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

const (
	gather       = 10 * time.Millisecond // between messages: announcements meanwhile share one
	statementGap = 5 * time.Second       // between statements of this peer on the topic
	greetingGap  = 5 * time.Second       // between heartbeats because something changed
	addrsEvery   = 5 * time.Minute
	floodRate    = 200 // messages of one author in a second
	maxPiled     = 40 << 10
)

// outbox holds what waits to be published. It never makes its callers wait.
type outbox struct {
	mu        sync.Mutex
	head      cid.Cid
	blocks    [][]byte
	bytes     int
	statement []byte
	signed    [][]byte
	wake      chan struct{}
}

// announce queues a head; its delta travels along if it is small. When deltas
// pile up only the head goes out, and who lacks them asks.
func (o *outbox) announce(head cid.Cid, block []byte) {
	o.mu.Lock()
	o.head = head
	switch {
	case len(block) == 0 || len(block) > wire.MaxInline || o.bytes+len(block) > maxPiled:
		o.blocks, o.bytes = nil, maxPiled // a gap: what follows cannot be admitted without asking
	default:
		o.blocks = append(o.blocks, block)
		o.bytes += len(block)
	}
	o.mu.Unlock()
	signal(o.wake)
}

func (o *outbox) share(raw []byte) {
	o.mu.Lock()
	o.statement = raw
	o.mu.Unlock()
	signal(o.wake)
}

// take returns what is to be published now, nil if nothing.
func (o *outbox) take(withStatement bool) *wire.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := &wire.Message{}
	if o.head.Defined() {
		m.Heads = [][]byte{o.head.Bytes()}
		m.Blocks = o.blocks
		o.head, o.blocks, o.bytes = cid.Undef, nil, 0
	}
	if withStatement && o.statement != nil {
		m.Statement, o.statement = o.statement, nil
	}
	m.Signed, o.signed = o.signed, nil
	if m.Heads == nil && m.Statement == nil && m.Signed == nil {
		return nil
	}
	return m
}

// Announce tells the others of a new head; block is its delta. It never waits.
func (n *Network) Announce(head cid.Cid, block []byte) { n.outbox.announce(head, block) }

// Share tells the others this peer's new statement. It never waits; of several
// in a short time the last one is sent.
func (n *Network) Share(raw []byte) {
	if len(raw) <= wire.MaxMessage/2 {
		n.outbox.share(raw)
	}
	signal(n.beat) // larger ones are asked for by whoever sees the seq
}

// topicOf returns the name of the cluster's topic.
func (n *Network) topicOf() string { return "/pinfold/" + string(n.cfg.Founding.ID()) + "/1" }

// join makes pubsub and subscribes to the topic.
func (n *Network) join(ctx context.Context) (*pubsub.Topic, *pubsub.Subscription, error) {
	members := len(n.deps.Authority().Members())
	ps, err := pubsub.NewGossipSub(ctx, guarded{n.host, n.gater},
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithMaxMessageSize(wire.MaxMessage),
		pubsub.WithFloodPublish(members <= manyMembers),
		pubsub.WithPeerExchange(false),
		pubsub.WithSeenMessagesTTL(2*time.Minute),
		pubsub.WithValidateWorkers(1), // keeps an author's messages in order
		pubsub.WithValidateQueueSize(512),
		pubsub.WithPeerOutboundQueueSize(256),
		pubsub.WithGossipSubParams(mesh(members)),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(n.topicOf())),
		pubsub.WithLogger(n.pubsubLog()), pubsub.WithRPCLogger(n.pubsubLog()),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("start pubsub: %w", err)
	}
	if err := ps.RegisterTopicValidator(n.topicOf(), n.validate, pubsub.WithValidatorInline(true)); err != nil {
		return nil, nil, fmt.Errorf("register validator: %w", err)
	}
	topic, err := ps.Join(n.topicOf())
	if err != nil {
		return nil, nil, fmt.Errorf("join topic: %w", err)
	}
	sub, err := topic.Subscribe(pubsub.WithBufferSize(512))
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe: %w", err)
	}
	return topic, sub, nil
}

// mesh returns pubsub's parameters. Where everybody is connected to everybody and
// publishes to all, more than a few links only carry copies; the exchanges repair
// what a thin mesh may miss.
func mesh(members int) pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.HistoryGossip = 2
	p.IDontWantMessageThreshold = 256
	if members <= manyMembers {
		p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout, p.Dlazy = 2, 2, 3, 2, 0, 2
		p.GossipFactor = 0.1
	}
	return p
}

// messageID names a message by the end of its author's id and its number: short,
// since lists of ids are most of what idle peers send one another.
func messageID(m *pb.Message) string {
	from := m.GetFrom()
	return string(from[max(0, len(from)-16):]) + string(m.GetSeqno())
}

// validate is the topic's validator. It runs in pubsub's own loop: no I/O.
func (n *Network) validate(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	author := m.GetFrom()
	if author == n.ID() {
		return pubsub.ValidationAccept
	}
	if n.gater.standing(author) == stranger {
		if n.deps.Authority().Ever(author) { // removed
			return pubsub.ValidationReject
		}
		return pubsub.ValidationIgnore // its first delta may be on the way
	}
	if !n.pace.allow(author) {
		n.faults.count(faultRate, author.String())
		return pubsub.ValidationIgnore
	}
	msg, err := n.packer.Unpack(m.GetData())
	if err != nil {
		n.faults.count(faultForm, author.String())
		return pubsub.ValidationReject
	}
	m.ValidatorData = msg
	return pubsub.ValidationAccept
}

// pace limits how many messages of one author are taken.
type pace struct {
	mu sync.Mutex
	by map[peer.ID]*rate.Limiter
}

func (p *pace) allow(author peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.by[author]
	if !ok {
		if len(p.by) >= wire.MaxMembers {
			clear(p.by)
		}
		l = rate.NewLimiter(floodRate, 2*floodRate)
		p.by[author] = l
	}
	return l.Allow()
}

// pulse decides when a heartbeat and a statement are due.
type pulse struct {
	message, beat, statement, addrs time.Time // of the last ones
	shown                           Summary
	envelope                        string
	regular, soon                   bool
}

// due says whether a heartbeat shall go out: at its regular time, soon after it
// was asked for, and a while after the state changed.
func (p *pulse) due(now time.Time, s Summary) bool {
	since := now.Sub(p.beat)
	return p.regular || (p.soon && since > time.Second) || (since > greetingGap && !sameSummary(s, p.shown))
}

// publish sends what is in the outbox, and heartbeats.
func (n *Network) publish(ctx context.Context, topic *pubsub.Topic) {
	var p pulse
	regular := time.NewTimer(jitter(time.Second))
	defer regular.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-regular.C:
			p.regular = true
			regular.Reset(jitter(n.cfg.Heartbeat))
		case <-n.beat:
			p.soon = true
		case <-tick.C:
		case <-n.outbox.wake:
			if !pause(ctx, gather-time.Since(p.message)) {
				return
			}
		}
		if m := n.compose(&p, time.Now()); m != nil {
			p.message = time.Now()
			n.put(ctx, topic, m)
		}
	}
}

// compose makes the next message of what is due, nil if nothing is.
func (n *Network) compose(p *pulse, now time.Time) *wire.Message {
	m := n.outbox.take(now.Sub(p.statement) > statementGap)
	s := n.deps.Summary()
	due := p.due(now, s)
	if m == nil && !due {
		return nil
	}
	if m == nil {
		m = &wire.Message{}
	}
	if m.Statement != nil {
		p.statement = now
	}
	if due {
		env := string(n.envelope(n.ID()))
		withAddrs := now.Sub(p.addrs) > addrsEvery || env != p.envelope
		g := n.greeting(withAddrs)
		m.Greeting = &g
		p.shown, p.beat, p.regular, p.soon = s, now, false, false
		if withAddrs {
			p.addrs, p.envelope = now, env
		}
	}
	return m
}

func (n *Network) put(ctx context.Context, topic *pubsub.Topic, m *wire.Message) {
	b, err := n.packer.Pack(m)
	if err == nil && len(b) > wire.MaxMessage-1024 { // pubsub's own fields need room
		m.Blocks = nil
		b, err = n.packer.Pack(m)
	}
	if err == nil {
		err = topic.Publish(ctx, b)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Warn("message not published", "err", err)
	}
}

func sameSummary(a, b Summary) bool {
	return a.Digest == b.Digest && a.Blocks == b.Blocks && len(a.Heads) == len(b.Heads)
}

// jitter is d, 30 % more or less.
func jitter(d time.Duration) time.Duration {
	return d*7/10 + rand.N(d*6/10+1)
}

// pause waits for d; it returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// listen reads the topic and does nothing that could hold it up: pubsub drops
// silently what a subscriber does not take.
func (n *Network) listen(ctx context.Context, sub *pubsub.Subscription) {
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return
		}
		author := m.GetFrom()
		msg, ok := m.ValidatorData.(*wire.Message)
		if author == n.ID() || !ok {
			continue
		}
		if msg.Greeting != nil {
			n.overheard(author, m.ReceivedFrom, msg.Greeting)
		}
		if len(msg.Heads) > 0 || msg.Statement != nil || len(msg.Signed) > 0 {
			n.inbox.add(author, m.ReceivedFrom, msg)
		}
	}
}

// overheard takes in a heartbeat.
func (n *Network) overheard(author, via peer.ID, g *wire.Greeting) {
	if !n.book.heard(author, g) {
		return
	}
	n.learn(g.Addrs)
	if heads, err := wire.ParseCIDs(g.Heads, wire.MaxHeads); err == nil {
		n.fetcher.hint(heads, n.gater.standing(author) == member, author, via)
	}
	if n.unlike(g) && n.gater.standing(author) == member {
		n.talkSoon(via)
	}
	if n.deps.Records != nil && g.Seq > n.deps.Records.Seqs()[author] && n.deps.Authority().Is(author) {
		n.talkSoon(via)
	}
}

// batch is what one author sent and is not yet handed on.
type batch struct {
	via       peer.ID
	heads     [][]byte
	blocks    [][]byte
	bytes     int
	statement []byte
	signed    [][]byte
}

// inbox gathers messages by author while earlier ones are being admitted.
type inbox struct {
	mu    sync.Mutex
	by    map[peer.ID]*batch
	order []peer.ID
	wake  chan struct{}
}

const maxBatch = 512 << 10 // bytes of deltas; beyond it they are asked for

func (i *inbox) add(author, via peer.ID, m *wire.Message) {
	i.mu.Lock()
	b, ok := i.by[author]
	if !ok {
		b = &batch{}
		i.by[author] = b
		i.order = append(i.order, author)
	}
	b.via = via
	if len(m.Heads) > 0 {
		b.heads = m.Heads // the newest say it all
	}
	for _, raw := range m.Blocks {
		if b.bytes += len(raw); b.bytes <= maxBatch {
			b.blocks = append(b.blocks, raw)
		}
	}
	if m.Statement != nil {
		b.statement = m.Statement
	}
	if len(m.Signed) > 0 {
		b.signed = m.Signed // of the older ones who lacks them asks
	}
	i.mu.Unlock()
	signal(i.wake)
}

func (i *inbox) take() (peer.ID, *batch) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.order) == 0 {
		return "", nil
	}
	p := i.order[0]
	b := i.by[p]
	i.order = i.order[1:]
	delete(i.by, p)
	return p, b
}

// receive admits what the inbox holds.
func (n *Network) receive(ctx context.Context) {
	for {
		author, b := n.inbox.take()
		if b == nil {
			select {
			case <-ctx.Done():
				return
			case <-n.inbox.wake:
			}
			continue
		}
		n.handle(ctx, author, b)
		if ctx.Err() != nil {
			return
		}
	}
}

func (n *Network) handle(ctx context.Context, author peer.ID, b *batch) {
	if b.statement != nil {
		_ = n.accept(ctx, author, [][]byte{b.statement})
	}
	n.acceptSigned(ctx, author, b.signed)
	heads, err := wire.ParseCIDs(b.heads, wire.MaxHeads)
	if err != nil || len(heads) == 0 {
		return
	}
	quiet := n.gater.standing(author) == member
	if len(b.blocks) > 0 && n.lacks(ctx, heads) {
		_, err := n.deps.Blocks.Receive(ctx, heads, feed(b.blocks))
		if err != nil {
			n.log.Debug("inlined deltas not admitted", "peer", author, "err", err)
		} else if !quiet {
			n.spread() // a candidate's first delta: only we listen to it
		}
	}
	if n.lacks(ctx, heads) {
		n.fetcher.hint(heads, quiet, b.via, author)
	}
}

// number is the next greeting's.
func (n *Network) number() uint64 { return n.numbers.next() }

// randomPeer returns a random element, "" of none.
func randomPeer(ids []peer.ID) peer.ID {
	if len(ids) == 0 {
		return ""
	}
	return ids[rand.IntN(len(ids))]
}
