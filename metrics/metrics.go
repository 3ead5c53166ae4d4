package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pinfold/pinfold/pinset"
)

// State is the replicated state of one cluster. Totals rise from the process's start.
type State struct {
	Pins    uint64            // live
	Deltas  uint64            // merged, since the epoch began
	Height  uint64            // of the highest head
	Heads   uint64            // tips of the DAG of deltas
	Refused map[string]uint64 // deltas that were refused, by a fixed set of reasons
}

// Node is what this peer keeps.
type Node struct {
	Items    map[pinset.Status]uint64
	Lent     uint64 // bytes
	Used     uint64 // bytes, by what pinfold placed
	Reserved uint64 // bytes, by fetches under way
	Queued   uint64 // items that wait for their turn
	Later    uint64 // items that wait for their time
	Moving   uint64 // fetches under way
}

// Flow is the traffic of one protocol since the process's start, in bytes.
type Flow struct {
	Protocol string // gossip, sync, ask, join: a fixed set
	In, Out  uint64
}

// Sources are where the figures come from. They are called at each scrape, from
// any goroutine, and should answer from memory. A nil source is left out.
type Sources struct {
	Version, Commit string
	State           func() State
	Node            func() Node
	Traffic         func() []Flow
	Exchange        func() *pinset.Exchange // of the IPFS node; nil: not known yet
	Agreement       func(context.Context) (pinset.Agreement, error)
	Health          []HealthSource
}

// patience is how long a scrape waits for a source.
const patience = 2 * time.Second

// Metrics is safe for concurrent use.
type Metrics struct {
	sources  Sources
	registry *prometheus.Registry
	commits  prometheus.Histogram
	requests *prometheus.CounterVec
	failures *prometheus.CounterVec
}

// New makes the page; its figures begin at nothing.
func New(s Sources) *Metrics {
	m := &Metrics{
		sources:  s,
		registry: prometheus.NewRegistry(),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pinfold_commit_seconds",
			Help:    "Time until a change of the pinset was durable on this peer's disk and merged.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pinfold_api_requests_total",
			Help: "Requests to the REST API, by path and status code."}, []string{"method", "route", "code"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pinfold_scrape_failures_total",
			Help: "Times that a source of figures failed."}, []string{"source"}),
	}
	m.registry.MustRegister(m.commits, m.requests, m.failures, asked{m, describe()},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler is the page, for GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// Committed counts a change and the time until it was acknowledged.
func (m *Metrics) Committed(took time.Duration) { m.commits.Observe(took.Seconds()) }

// Request counts an answer of the API. It has the signature of httpapi's
// Deps.Requests; a route is one of the API's table, or "".
func (m *Metrics) Request(method, route string, code int, _ time.Duration) {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions, http.MethodHead:
	default:
		method = "other" // a client's own word
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(code)).Inc()
}

// asked collects what the sources tell.
type asked struct {
	m     *Metrics
	descs map[string]*prometheus.Desc
}

// describe lists the figures that come from sources.
func describe() map[string]*prometheus.Desc {
	out := map[string]*prometheus.Desc{}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{"build_info", "1, and what this peer runs.", []string{"version", "commit"}},
		{"pins", "Live pins of all owners.", nil},
		{"deltas_total", "Deltas that were merged since the epoch began.", nil},
		{"height", "Height of the highest head of the state.", nil},
		{"heads", "Tips of the DAG of deltas.", nil},
		{"refused_deltas_total", "Deltas that were refused: forged, not authorised, malformed.", []string{"reason"}},
		{"members", "Members of the cluster.", nil},
		{"members_heard", "Members heard lately, this peer included.", nil},
		{"members_agreeing", "Members with this peer's digest of the pinset.", nil},
		{"items", "Items at this peer, by status.", []string{"status"}},
		{"queue", "Items that wait for their turn (ready), for their time (later), or move.", []string{"queue"}},
		{"lent_bytes", "Disk lent to the cluster.", nil},
		{"used_bytes", "Disk used by what pinfold placed.", nil},
		{"reserved_bytes", "Disk set aside for fetches under way.", nil},
		{"network_bytes_total", "Bytes to and from other members.", []string{"protocol", "direction"}},
		{"blocks_bytes_total", "Bytes of blocks that the IPFS node got (in) from and gave (out) to the IPFS nodes of members, and others.", []string{"with", "direction"}},
		{"health", "Faults that are present now.", []string{"severity"}},
	} {
		out[d.name] = prometheus.NewDesc("pinfold_"+d.name, d.help, d.labels, nil)
	}
	return out
}

func (a asked) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range a.descs {
		ch <- d
	}
}

func (a asked) Collect(ch chan<- prometheus.Metric) {
	page := page{ch, a.descs}
	s := a.m.sources
	page.gauge("build_info", 1, s.Version, s.Commit)
	if s.State != nil {
		page.state(s.State())
	}
	if s.Node != nil {
		page.node(s.Node())
	}
	if s.Traffic != nil {
		for _, f := range s.Traffic() {
			page.counter("network_bytes_total", f.In, f.Protocol, "in")
			page.counter("network_bytes_total", f.Out, f.Protocol, "out")
		}
	}
	if s.Exchange != nil {
		page.exchange(s.Exchange())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.Agreement != nil {
		if agreement, err := s.Agreement(ctx); err != nil {
			a.m.failures.WithLabelValues("agreement").Inc()
		} else {
			page.gauge("members", uint64(agreement.Members))
			page.gauge("members_heard", uint64(agreement.Heard))
			page.gauge("members_agreeing", uint64(agreement.Agree))
		}
	}
	counts := map[pinset.Severity]uint64{pinset.SeverityInfo: 0, pinset.SeverityWarning: 0, pinset.SeverityError: 0}
	for _, e := range a.m.Health(ctx) {
		if _, known := counts[e.Severity]; known {
			counts[e.Severity]++
		}
	}
	for severity, n := range counts {
		page.gauge("health", n, string(severity))
	}
}

// page writes figures of one scrape.
type page struct {
	ch    chan<- prometheus.Metric
	descs map[string]*prometheus.Desc
}

func (p page) gauge(name string, n uint64, labels ...string) {
	p.ch <- prometheus.MustNewConstMetric(p.descs[name], prometheus.GaugeValue, float64(n), labels...)
}

func (p page) counter(name string, n uint64, labels ...string) {
	p.ch <- prometheus.MustNewConstMetric(p.descs[name], prometheus.CounterValue, float64(n), labels...)
}

func (p page) state(s State) {
	p.gauge("pins", s.Pins)
	p.counter("deltas_total", s.Deltas)
	p.gauge("height", s.Height)
	p.gauge("heads", s.Heads)
	for reason, n := range s.Refused {
		p.counter("refused_deltas_total", n, reason)
	}
}

func (p page) node(n Node) {
	for s := pinset.StatusPinned; s <= pinset.StatusClusterError; s++ {
		p.gauge("items", n.Items[s], s.String())
	}
	p.gauge("queue", n.Queued, "ready")
	p.gauge("queue", n.Later, "later")
	p.gauge("queue", n.Moving, "moving")
	p.gauge("lent_bytes", n.Lent)
	p.gauge("used_bytes", n.Used)
	p.gauge("reserved_bytes", n.Reserved)
}

func (p page) exchange(x *pinset.Exchange) {
	if x == nil {
		return
	}
	p.counter("blocks_bytes_total", x.FromMembers, "members", "in")
	p.counter("blocks_bytes_total", x.FromOthers, "others", "in")
	p.counter("blocks_bytes_total", x.ToMembers, "members", "out")
	p.counter("blocks_bytes_total", x.ToOthers, "others", "out")
}
