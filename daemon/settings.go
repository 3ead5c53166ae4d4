package daemon

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/pinfold/pinfold/pinset"
)

// Source says where a setting's value came from; later ones win.
type Source string

const (
	FromDefault Source = "default"
	FromFile    Source = "file"
	FromEnv     Source = "environment"
	FromFlag    Source = "flag"
)

// Setting is one key of the configuration as `pinfold config show` prints it.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source Source `json:"source"`
	Doc    string `json:"doc"`
	Env    string `json:"env"`
}

// value is one typed setting: it reads and writes what people write.
type value interface {
	set(string) error
	text() string // as people write it
	toml() string // as a TOML value
}

type setting struct {
	key, doc string
	secret   bool
	of       func(*Config) value
}

// table is the one list of settings: file, environment, flags, `config show` and
// the file we write are all read off it.
func table() []setting {
	return []setting{
		{key: "name", doc: "this peer's name, as the others see it", of: func(c *Config) value { return (*word)(&c.Name) }},
		{key: "give", doc: "disk lent to the cluster: never above it", of: func(c *Config) value { return (*size)(&c.Give) }},
		{key: "tags", doc: "what this peer is (ssd, eu): pins may ask for it", of: func(c *Config) value { return (*wordSet)(&c.Tags) }},
		{key: "region", doc: "where it stands, roughly: copies are spread over regions", of: func(c *Config) value { return (*word)(&c.Region) }},
		{key: "household", doc: "peers of one household never hold two copies when there is a choice", of: func(c *Config) value { return (*word)(&c.Household) }},
		{key: "ipfs.node", doc: "auto (Kubo if it answers, else embedded), kubo, embedded", of: func(c *Config) value { return (*word)(&c.IPFS.Node) }},
		{key: "ipfs.api", doc: "Kubo's RPC address; empty is its usual one", of: func(c *Config) value { return (*word)(&c.IPFS.API) }},
		{key: "ipfs.auth", doc: "for Kubo's RPC: bearer:TOKEN or basic:USER:PASSWORD", secret: true, of: func(c *Config) value { return (*word)(&c.IPFS.Auth) }},
		{key: "ipfs.listen", doc: "addresses of the embedded IPFS node", of: func(c *Config) value { return (*list)(&c.IPFS.Listen) }},
		{key: "ipfs.blockstore", doc: "of the embedded node: flatfs, badger", of: func(c *Config) value { return (*word)(&c.IPFS.Blockstore) }},
		{key: "ipfs.send_rate", doc: "most bytes of blocks that the embedded node sends in a second, as in 2MB; 0 for no limit", of: func(c *Config) value { return (*size)(&c.IPFS.SendRate) }},
		{key: "ipfs.fetch_rate", doc: "most bytes of blocks that it fetches in a second; 0 for no limit", of: func(c *Config) value { return (*size)(&c.IPFS.FetchRate) }},
		{key: "network.listen", doc: "addresses for the other members", of: func(c *Config) value { return (*list)(&c.Network.Listen) }},
		{key: "network.open", doc: "without the private network's key: allows QUIC; members only all the same", of: func(c *Config) value { return (*flag)(&c.Network.Open) }},
		{key: "network.mdns", doc: "find members on the local network", of: func(c *Config) value { return (*flag)(&c.Network.MDNS) }},
		{key: "network.port_map", doc: "ask the router to forward the port", of: func(c *Config) value { return (*flag)(&c.Network.PortMap) }},
		{key: "network.relay", doc: "relay for members that cannot be reached, and use those that do", of: func(c *Config) value { return (*flag)(&c.Network.Relay) }},
		{key: "network.heartbeat", doc: "how often this peer says that it is there", of: func(c *Config) value { return (*duration)(&c.Network.Heartbeat) }},
		{key: "api.listen", doc: "REST API on TCP; empty for none (the unix socket is always there)", of: func(c *Config) value { return (*word)(&c.API.Listen) }},
		{key: "api.allow_remote", doc: "allow plain TCP beyond loopback: tokens travel readable", of: func(c *Config) value { return (*flag)(&c.API.AllowRemote) }},
		{key: "proxy.listen", doc: "the IPFS-shaped door: what speaks to a Kubo can speak to it; empty for none", of: func(c *Config) value { return (*word)(&c.Proxy.Listen) }},
		{key: "proxy.socket", doc: "a unix socket for it, with all rights for this user; empty for none", of: func(c *Config) value { return (*word)(&c.Proxy.Socket) }},
		{key: "proxy.allow_remote", doc: "allow plain TCP beyond loopback: tokens travel readable", of: func(c *Config) value { return (*flag)(&c.Proxy.AllowRemote) }},
		{key: "proxy.anonymous", doc: "what may be done on loopback without a token: read, pin, add, files, gc", of: func(c *Config) value { return (*wordSet)(&c.Proxy.Anonymous) }},
		{key: "proxy.origins", doc: "web pages that may call it, as https://example.org", of: func(c *Config) value { return (*list)(&c.Proxy.Origins) }},
		{key: "proxy.hosts", doc: "further names under which it is reached", of: func(c *Config) value { return (*list)(&c.Proxy.Hosts) }},
		{key: "proxy.keep_files", doc: "keep Kubo's files (MFS) in the cluster: their root is pinned at each change through this door", of: func(c *Config) value { return (*flag)(&c.Proxy.KeepFiles) }},
		{key: "proxy.members", doc: "offer it to members over the private network, each with what a token for its key says", of: func(c *Config) value { return (*flag)(&c.Proxy.Members) }},
		{key: "proxy.tls", doc: "speak TLS there, with the certificate below or one that is made here", of: func(c *Config) value { return (*flag)(&c.Proxy.TLS) }},
		{key: "proxy.certificate", doc: "file with the certificate, PEM", of: func(c *Config) value { return (*word)(&c.Proxy.Certificate) }},
		{key: "proxy.certificate_key", doc: "file with its key, PEM", of: func(c *Config) value { return (*word)(&c.Proxy.Key) }},
		{key: "state.store", doc: "of the replicated state: badger, pebble (chosen at the first start)", of: func(c *Config) value { return (*word)(&c.State.Store) }},
		{key: "tracker.concurrency", doc: "pins fetched at once", of: func(c *Config) value { return (*number)(&c.Tracker.Concurrency) }},
		{key: "tracker.reserve", doc: "free space of the disk that is never used", of: func(c *Config) value { return (*size)(&c.Tracker.Reserve) }},
		{key: "tracker.grace", doc: "how long a copy stays after its successors are safe; 0s: as the cluster's policy says", of: func(c *Config) value { return (*duration)(&c.Tracker.Grace) }},
		{key: "tracker.outage", doc: "how long a member may be away before others hold its new pins for it", of: func(c *Config) value { return (*duration)(&c.Tracker.Outage) }},
		{key: "tracker.sweep", doc: "time between two comparisons with the IPFS node", of: func(c *Config) value { return (*duration)(&c.Tracker.Sweep) }},
		{key: "traffic.day", doc: "most bytes fetched in a day; 0 for no limit", of: func(c *Config) value { return (*size)(&c.Traffic.Day) }},
		{key: "traffic.month", doc: "most bytes fetched in a month; 0 for no limit", of: func(c *Config) value { return (*size)(&c.Traffic.Month) }},
		{key: "traffic.schedule", doc: "hours in which much is fetched, as in 22:00-07:00,12:00-13:30; empty for all day", of: func(c *Config) value { return (*word)(&c.Traffic.Schedule) }},
	}
}

// EnvName is the environment variable of a key: ipfs.api is PINFOLD_IPFS_API.
func EnvName(key string) string {
	return "PINFOLD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Load reads the configuration: defaults, then the file (which may be missing),
// the environment, and flags (key to value). Unknown keys are errors.
func Load(path string, flags map[string]string) (Config, []Setting, error) {
	cfg := Defaults()
	file, err := readFile(path)
	if err != nil {
		return cfg, nil, err
	}
	for place, given := range map[string]map[string]string{path: file, "--set": flags} {
		if err := onlyKnown(place, given); err != nil {
			return cfg, nil, err
		}
	}
	var out []Setting
	for _, s := range table() {
		v, source := s.of(&cfg), FromDefault
		for _, from := range []struct {
			source Source
			name   string
			get    func() (string, bool)
		}{
			{FromFile, path + ": " + s.key, func() (string, bool) { t, ok := file[s.key]; return t, ok }},
			{FromEnv, EnvName(s.key), func() (string, bool) { return os.LookupEnv(EnvName(s.key)) }},
			{FromFlag, s.key, func() (string, bool) { t, ok := flags[s.key]; return t, ok }},
		} {
			text, ok := from.get()
			if !ok {
				continue
			}
			if err := v.set(text); err != nil {
				return cfg, nil, pinset.Invalid("%s: %v", from.name, err)
			}
			source = from.source
		}
		shown := v.text()
		if s.secret && shown != "" {
			shown = "(hidden)"
		}
		out = append(out, Setting{Key: s.key, Value: shown, Source: source, Doc: s.doc, Env: EnvName(s.key)})
	}
	return cfg, out, cfg.Validate()
}

// onlyKnown refuses a key that is not in the table: a typo must not pass for a setting.
func onlyKnown(place string, given map[string]string) error {
	known := keys()
	for key := range given {
		if !slices.Contains(known, key) {
			return unknown(pinset.Invalid("%s: unknown key %q", place, key), key, known)
		}
	}
	return nil
}

func keys() []string {
	var out []string
	for _, s := range table() {
		out = append(out, s.key)
	}
	return out
}

// readFile flattens the TOML file to key and text. A missing file is empty.
func readFile(path string) (map[string]string, error) {
	raw := map[string]any{}
	if _, err := toml.DecodeFile(path, &raw); err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, pinset.Wrap(pinset.KindInvalid, err, "read %s", path)
	}
	switch v, ok := raw["version"].(int64); {
	case ok && v > ConfigVersion:
		return nil, pinset.Invalid("%s: version %d is from a newer pinfold (this one writes %d)", path, v, ConfigVersion)
	case raw["version"] == nil:
		return nil, pinset.Invalid("%s: it says no version: want version = %d in its first line", path, ConfigVersion)
	case !ok || v < 1:
		return nil, pinset.Invalid("%s: version %v: want version = %d", path, raw["version"], ConfigVersion)
	}
	delete(raw, "version")
	out := map[string]string{}
	return out, flatten(path, "", raw, out)
}

func flatten(path, prefix string, in map[string]any, out map[string]string) error {
	for k, v := range in {
		key := prefix + k
		switch v := v.(type) {
		case map[string]any:
			if err := flatten(path, key+".", v, out); err != nil {
				return err
			}
		case string:
			out[key] = v
		case bool, int64:
			out[key] = fmt.Sprint(v)
		case []any:
			words := make([]string, len(v))
			for i, e := range v {
				s, ok := e.(string)
				if !ok {
					return pinset.Invalid("%s: %s: %v: want a list of strings", path, key, v)
				}
				words[i] = s
			}
			out[key] = strings.Join(words, ",")
		default:
			return pinset.Invalid("%s: %s: a %T is not possible here", path, key, v)
		}
	}
	return nil
}

// Save writes the keys of cfg that differ from the defaults, each with its
// meaning, to path (0600: it may hold a secret), replacing it in one step.
func Save(path string, cfg Config) error {
	def := Defaults()
	var b strings.Builder
	b.WriteString("# pinfold's configuration. `pinfold config show` prints every key.\n")
	fmt.Fprintf(&b, "version = %d\n", ConfigVersion)
	section := ""
	for _, s := range table() {
		v := s.of(&cfg)
		if v.text() == s.of(&def).text() && s.key != "name" {
			continue
		}
		name := s.key
		if sec, rest, ok := strings.Cut(s.key, "."); ok {
			if name = rest; sec != section {
				fmt.Fprintf(&b, "\n[%s]\n", sec)
				section = sec
			}
		}
		fmt.Fprintf(&b, "# %s\n%s = %s\n", s.doc, name, v.toml())
	}
	return writeFile(path, []byte(b.String()))
}

type (
	word     string
	list     []string
	wordSet  []string // sorted, distinct
	flag     bool
	number   int
	size     uint64
	duration time.Duration
)

func (w *word) set(s string) error { *w = word(s); return nil }
func (w *word) text() string       { return string(*w) }
func (w *word) toml() string       { return strconv.Quote(string(*w)) }

func (l *list) set(s string) error {
	*l = nil
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			*l = append(*l, w)
		}
	}
	return nil
}
func (l *list) text() string { return strings.Join(*l, ",") }
func (l *list) toml() string {
	quoted := make([]string, len(*l))
	for i, w := range *l {
		quoted[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (w *wordSet) set(s string) error {
	err := (*list)(w).set(s)
	slices.Sort(*w)
	*w = slices.Compact(*w)
	return err
}
func (w *wordSet) text() string { return (*list)(w).text() }
func (w *wordSet) toml() string { return (*list)(w).toml() }

func (f *flag) set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q: want true or false", s)
	}
	*f = flag(b)
	return nil
}
func (f *flag) text() string { return strconv.FormatBool(bool(*f)) }
func (f *flag) toml() string { return f.text() }

func (n *number) set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%q: want a whole number", s)
	}
	*n = number(v)
	return nil
}
func (n *number) text() string { return strconv.Itoa(int(*n)) }
func (n *number) toml() string { return n.text() }

func (z *size) set(s string) error {
	v, err := pinset.ParseSize(s)
	if err != nil {
		return err
	}
	*z = size(v)
	return nil
}
func (z *size) text() string { return pinset.FormatSize(uint64(*z)) }
func (z *size) toml() string { return strconv.Quote(strconv.FormatUint(uint64(*z), 10)) }

func (d *duration) set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q: want a time as in 30s, 15m or 24h", s)
	}
	*d = duration(v)
	return nil
}
func (d *duration) text() string { return time.Duration(*d).String() }
func (d *duration) toml() string { return strconv.Quote(d.text()) }
