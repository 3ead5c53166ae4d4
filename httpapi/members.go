package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// silence is how long the last word of a member counts in /monitor/metrics.
const silence = time.Minute

func (s *Server) version(c *call) error {
	return c.json(dialect.Version{Version: s.cfg.Version, Commit: s.cfg.Commit, Software: "pinfold"})
}

func (s *Server) metrics(c *call) error {
	if s.deps.Metrics == nil {
		return pinset.NotFound("there are no metrics here")
	}
	c.code = http.StatusOK
	s.deps.Metrics.ServeHTTP(c.w, c.r)
	return nil
}

// health says whether this peer is well. Without a token it says no more than
// that, and which codes are present. Who accepts no JSON in words, as
// ipfs-cluster's client, gets its 204: the process answers. With ready=true a peer
// that is not well answers 503.
func (s *Server) health(c *call) error {
	ready := c.params.flag("ready")
	if err := c.params.err; err != nil {
		return err
	}
	cl, err := c.cluster()
	h := dialect.Health{OK: true, Entries: []pinset.HealthEntry{}}
	if err != nil {
		h.Entries = []pinset.HealthEntry{{Code: "no-cluster", Severity: pinset.SeverityError, Title: err.Error(), Do: pinset.HintOf(err)}}
	} else {
		h.Entries = append(h.Entries, cl.Health.Health(c.ctx())...)
	}
	for i, e := range h.Entries {
		h.OK = h.OK && e.Severity != pinset.SeverityError
		if !c.known {
			h.Entries[i] = pinset.HealthEntry{Code: e.Code, Severity: e.Severity}
		}
	}
	switch {
	case ready && !h.OK:
		return &statusError{http.StatusServiceUnavailable, pinset.Errorf(pinset.KindUnavailable, "this peer is not well: %s", codes(h.Entries))}
	case c.r.Header.Get("Accept") == "":
		return c.empty(http.StatusNoContent)
	}
	return c.json(h)
}

func codes(entries []pinset.HealthEntry) string {
	var out []string
	for _, e := range entries {
		if e.Severity == pinset.SeverityError {
			out = append(out, e.Code)
		}
	}
	return strings.Join(out, ", ")
}

// everyone lists the members, this peer first.
func (c *call) everyone() (*Cluster, pinset.Peer, []pinset.Peer, error) {
	cl, err := c.cluster()
	if err != nil {
		return nil, pinset.Peer{}, nil, err
	}
	self, err := cl.Members.Self(c.ctx())
	if err != nil {
		return nil, pinset.Peer{}, nil, err
	}
	all := []pinset.Peer{self}
	for p, err := range cl.Members.Peers(c.ctx()) {
		if err != nil {
			return nil, pinset.Peer{}, nil, err
		}
		if p.ID != self.ID {
			all = append(all, p)
		}
	}
	return cl, self, all, nil
}

func (s *Server) id(c *call) error {
	cl, self, all, err := c.everyone()
	if err != nil {
		return err
	}
	o := dialect.NewPeer(self, connected(all))
	o.Commit, o.ClusterID, o.ClusterName = s.cfg.Commit, cl.ID, cl.Name
	return c.json(o)
}

func connected(all []pinset.Peer) (ids []peer.ID) {
	for _, p := range all {
		if p.Self || p.Connected {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// peers streams the members. Of whom the others see, this peer knows only itself.
func (s *Server) peers(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	self, err := cl.Members.Self(c.ctx())
	if err != nil {
		return err
	}
	return jsonLines(c, cl.Members.Peers(c.ctx()), func(p pinset.Peer) dialect.Peer {
		sees := []peer.ID{p.ID}
		if p.Connected && p.ID != self.ID {
			sees = append(sees, self.ID)
		}
		return dialect.NewPeer(p, sees)
	})
}

func (s *Server) removePeer(c *call) error {
	id, err := c.peerID()
	if err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	self, err := cl.Members.Self(c.ctx())
	if err != nil {
		return err
	}
	switch {
	case id == self.ID:
		err = cl.Members.Leave(c.ctx())
	case cl.Remove != nil:
		err = cl.Remove(c.ctx(), id)
	default:
		err = pinset.Errorf(pinset.KindConflict, "peer %s: another member can only leave by itself", id).WithHint("run `pinfold leave` there")
	}
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) graph(c *call) error {
	_, self, all, err := c.everyone()
	if err != nil {
		return err
	}
	me := self.ID.String()
	g := dialect.Graph{Self: me, Names: map[string]string{}, IPFSLinks: map[string][]string{}, Links: map[string][]string{me: {}},
		TrustLinks: map[string]bool{}, ToIPFS: map[string]string{}}
	for _, p := range all {
		id := p.ID.String()
		g.Names[id] = p.Name
		if p.IPFS.Peer != "" {
			g.ToIPFS[id] = p.IPFS.Peer.String()
		}
		if p.ID == self.ID {
			continue
		}
		g.TrustLinks[id] = true
		g.Links[id] = []string{}
		if p.Connected {
			g.Links[me] = append(g.Links[me], id)
			g.Links[id] = []string{me}
		}
	}
	return c.json(g)
}

func (s *Server) alerts(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	self, err := cl.Members.Self(c.ctx())
	if err != nil {
		return err
	}
	out := []dialect.Alert{}
	for _, e := range cl.Health.Health(c.ctx()) {
		out = append(out, dialect.Alert{Metric: dialect.Metric{Name: e.Code, Peer: self.ID.String(), Value: e.Detail, ReceivedAt: nanos(e.Since)},
			Triggered: e.Since.UTC(), Severity: string(e.Severity), Title: e.Title, Do: e.Do})
	}
	return c.json(out)
}

// figures are what /monitor/metrics tells of a member. They are its own word.
func figures() map[string]func(pinset.Peer) string {
	return map[string]func(pinset.Peer) string{
		"ping":      func(p pinset.Peer) string { return p.Name },
		"freespace": func(p pinset.Peer) string { return strconv.FormatUint(p.Lent-min(p.Used, p.Lent), 10) },
		"used":      func(p pinset.Peer) string { return strconv.FormatUint(p.Used, 10) },
		"numpin":    func(p pinset.Peer) string { return strconv.FormatUint(p.Pins, 10) },
		"pinqueue":  func(p pinset.Peer) string { return strconv.FormatUint(p.Queued, 10) },
	}
}

func (s *Server) metricNames(c *call) error {
	return c.json(slices.Sorted(maps.Keys(figures())))
}

func (s *Server) metricValues(c *call) error {
	figure, ok := figures()[c.arg]
	if !ok {
		names := slices.Sorted(maps.Keys(figures()))
		return pinset.NotFound("metric %q: there are %s", c.arg, strings.Join(names, ", ")).WithHint("did you mean %s?", nearest(c.arg, names))
	}
	_, self, all, err := c.everyone()
	if err != nil {
		return err
	}
	out := []dialect.Metric{}
	for _, p := range all {
		heard := p.LastHeard
		if p.ID == self.ID {
			heard = s.now()
		}
		if heard.IsZero() {
			continue
		}
		value := figure(p)
		weight, _ := strconv.ParseInt(value, 10, 64) // 0 of a name
		out = append(out, dialect.Metric{Name: c.arg, Peer: p.ID.String(), Value: value, Weight: weight,
			Valid: s.now().Sub(heard) < silence, Expire: nanos(heard.Add(silence)), ReceivedAt: nanos(heard)})
	}
	return c.json(out)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func (s *Server) agreement(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	a, err := cl.Statuses.Agreement(c.ctx())
	if err != nil {
		return err
	}
	return c.json(dialect.NewAgreement(a))
}

func (s *Server) join(c *call) error {
	var ask dialect.Join
	if err := c.body(&ask); err != nil {
		return err
	}
	if strings.TrimSpace(ask.Invite) == "" {
		return pinset.Invalid("body: no invite").WithHint("`pinfold invite` at a member prints one")
	}
	if err := s.deps.Daemon.Join(c.ctx(), ask.Invite, ask.Name, ask.Give); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) invite(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	i, err := cl.Members.Invite(c.ctx())
	if err != nil {
		return err
	}
	return c.json(dialect.NewInvite(i))
}

func (s *Server) leave(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if err := cl.Members.Leave(c.ctx()); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) config(c *call) error {
	settings, err := s.deps.Daemon.Config(c.ctx())
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if settings == nil {
		settings = []Setting{}
	}
	return c.json(settings)
}
