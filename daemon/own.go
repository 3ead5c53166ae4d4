package daemon

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker"
)

// own is the part of the configuration that can change while the daemon runs:
// what this peer says of itself in its member record. It is safe for concurrent
// use.
type own struct {
	path  string            // of the configuration file
	flags map[string]string // of the command line

	mu       sync.Mutex
	cfg      Config
	settings []Setting

	line atomic.Pointer[tracker.Rules] // of the traffic; asked for each block
}

// ownKeys are the keys that a running daemon takes.
func ownKeys() []string {
	return []string{"name", "give", "tags", "region", "household", "traffic.day", "traffic.month", "traffic.schedule"}
}

func openOwn(o Options, cfg Config) (*own, error) {
	_, settings, err := Load(o.Dir.Config(), o.Flags)
	if err != nil {
		return nil, err
	}
	out := &own{path: o.Dir.Config(), flags: maps.Clone(o.Flags), cfg: cfg, settings: settings}
	return out, out.obey(cfg)
}

// obey puts the traffic's limits in force.
func (o *own) obey(cfg Config) error {
	rules, err := cfg.Traffic.rules()
	if err == nil {
		o.line.Store(&rules)
	}
	return err
}

func (o *own) config() Config {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cfg
}

func (o *own) lent() uint64 { return o.config().Give }

func (o *own) all() []Setting {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.settings)
}

// set writes keys to the configuration file and puts them in force; all or none.
func (o *own) set(changes map[string]string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	keep, _, err := Load(o.path, nil) // without flags: they are of this run alone
	if err != nil {
		return err
	}
	next := o.cfg
	if err := onlyKnown("set", changes); err != nil {
		return err
	}
	for _, s := range table() {
		text, ok := changes[s.key]
		if !ok {
			continue
		}
		if err := changeable(s.key); err != nil {
			return err
		}
		for _, cfg := range []*Config{&keep, &next} {
			if err := s.of(cfg).set(text); err != nil {
				return pinset.Invalid("%s: %v", s.key, err)
			}
		}
	}
	if next.Give == 0 {
		return pinset.Invalid("give 0: want at least %s; who lends nothing is an observer", pinset.FormatSize(leastGive)).
			WithHint("pinfold role NAME observer")
	}
	if err := next.Validate(); err != nil {
		return err
	}
	if err := Save(o.path, keep); err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "write %s", o.path)
	}
	for key := range changes {
		delete(o.flags, key) // what was said last counts
	}
	o.cfg = next
	if err := o.obey(next); err != nil {
		return err
	}
	_, o.settings, err = Load(o.path, o.flags)
	return err
}

// changeable says no for what only a start can change, and for what the next
// start would undo.
func changeable(key string) error {
	if !slices.Contains(ownKeys(), key) {
		return pinset.Errorf(pinset.KindConflict, "%s: a running daemon takes only %s", key, strings.Join(ownKeys(), ", ")).
			WithHint("write it to config.toml, then start pinfold again")
	}
	if _, ok := os.LookupEnv(EnvName(key)); ok {
		return pinset.Errorf(pinset.KindConflict, "%s: the environment variable %s sets it", key, EnvName(key)).
			WithHint("change it there, then start pinfold again")
	}
	return nil
}

// Set changes what this peer says of itself, and tells the others. The warnings
// name what is done and may not be meant.
func (a apiDaemon) Set(ctx context.Context, changes map[string]string) (warnings []string, err error) {
	d := a.d
	if err := d.own.set(changes); err != nil {
		return nil, err
	}
	if err := d.peer.enrol.now(ctx); err != nil {
		return nil, err
	}
	if used, give := d.peer.tracker.Stats().Used, d.own.lent(); used > give {
		warnings = append(warnings, fmt.Sprintf("%s are held here and %s are lent now: what is over goes once other members hold it",
			pinset.FormatSize(used), pinset.FormatSize(give)))
	}
	warnings = append(warnings, d.peer.cluster.Typos()...)
	if note := d.slowToFill(); note != "" {
		warnings = append(warnings, note)
	}
	if note := d.overpromised(); note != "" {
		warnings = append(warnings, note)
	}
	return warnings, nil
}

// slowToFill says if the traffic's limits make this peer count as less than it lends:
// the allocation gives a member what it can fetch in the policy's fill_days.
func (d *Daemon) slowToFill() string {
	days := d.peer.state.Authority().Policy().FillDays
	perDay, give := d.own.line.Load().PerDay(), d.own.lent()
	if perDay == 0 || perDay >= give/days {
		return ""
	}
	return fmt.Sprintf("with %s a day this peer counts as %s of the %s it lends, what can be fetched in %d days: what is held beyond that goes to other members",
		pinset.FormatSize(perDay), pinset.FormatSize(perDay*days), pinset.FormatSize(give), days)
}

// overpromised says if more is lent than the disk under the embedded node has.
func (d *Daemon) overpromised() string {
	free, err := freeSpace(string(d.opts.Dir))
	give := d.own.lent()
	if err != nil || !d.node.own || free >= give {
		return ""
	}
	return fmt.Sprintf("%s are lent and %s are free here: what does not fit is refused, and goes to another member",
		pinset.FormatSize(give), pinset.FormatSize(free))
}
