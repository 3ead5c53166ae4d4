package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker"
)

// ConfigVersion is the version of the configuration file this program writes.
const ConfigVersion = 1

// Config is everything a person can set. The zero configuration works: see
// Defaults. docs/operations.md lists the keys; `pinfold config show` prints the
// effective values and where each came from.
type Config struct {
	Name      string
	Give      uint64 // bytes lent; 0 in the file stands for "not decided yet"
	Tags      []string
	Region    string
	Household string

	IPFS    IPFSConfig
	Network NetworkConfig
	API     APIConfig
	Proxy   ProxyConfig
	State   StateConfig
	Tracker TrackerConfig
	Traffic TrafficConfig
}

// TrafficConfig is what of the line may be used to fetch.
type TrafficConfig struct {
	Day      uint64 // bytes; 0: no limit
	Month    uint64 // bytes; 0: no limit
	Schedule string // windows of the day in which much is fetched; "": all day
}

// rules are the limits as the tracker takes them.
func (c TrafficConfig) rules() (tracker.Rules, error) {
	hours, err := tracker.ParseSchedule(c.Schedule)
	return tracker.Rules{Day: c.Day, Month: c.Month, Schedule: hours}, err
}

// IPFSConfig says which IPFS node stores the data.
type IPFSConfig struct {
	Node       string // auto, kubo, embedded
	API        string // Kubo's RPC: multiaddress, URL or unix socket; "" is its usual address
	Auth       string // bearer:TOKEN or basic:USER:PASSWORD, as in Kubo's API.Authorizations
	Listen     []string
	Blockstore string // flatfs, badger: of the embedded node
	SendRate   uint64 // bytes a second that the embedded node sends of blocks; 0: no limit
	FetchRate  uint64 // the same of what it fetches
}

// NetworkConfig is the private network among the members.
type NetworkConfig struct {
	Listen    []string
	Open      bool // without the private network's key: QUIC and better hole punching
	MDNS      bool
	PortMap   bool
	Relay     bool
	Heartbeat time.Duration
}

// APIConfig is the REST API's listener on TCP. The unix socket is always there.
type APIConfig struct {
	Listen      string // "" for none
	AllowRemote bool   // plain TCP beyond loopback
}

// ProxyConfig is the IPFS-shaped door: what speaks Kubo's RPC finds the cluster there.
type ProxyConfig struct {
	Listen      string   // "" for none
	Socket      string   // path of a unix socket; "" for none
	AllowRemote bool     // plain TCP beyond loopback
	Anonymous   []string // scopes of who asks on loopback without a token
	Origins     []string // web pages that may call it
	Hosts       []string // further names of it
	Members     bool     // for members with a token of their key, over the private network
	KeepFiles   bool     // pin the root of Kubo's mutable file system
	TLS         bool     // speak TLS on Listen
	Certificate string   // file, PEM; "" is one that is made here
	Key         string   // its key
}

// StateConfig is the store of the replicated state.
type StateConfig struct {
	Store string // badger, pebble
}

// TrackerConfig bounds what this machine does at once.
type TrackerConfig struct {
	Concurrency int
	Reserve     uint64        // bytes of the file system that are never used
	Grace       time.Duration // a copy is kept that long after its successors are safe; 0: as the policy says
	Outage      time.Duration // of a member, that moves nothing: after it others stand in
	Sweep       time.Duration // between two comparisons with the IPFS node
}

// Defaults returns the configuration of somebody who set nothing.
func Defaults() Config {
	host, _ := os.Hostname()
	if host == "" {
		host = "pinfold"
	}
	return Config{
		Name: host,
		IPFS: IPFSConfig{
			Node: "auto", Blockstore: "flatfs",
			Listen: []string{"/ip4/0.0.0.0/tcp/4011", "/ip4/0.0.0.0/udp/4011/quic-v1"},
		},
		Network: NetworkConfig{
			Listen: []string{"/ip4/0.0.0.0/tcp/9096"},
			MDNS:   true, PortMap: true, Relay: true, Heartbeat: 30 * time.Second,
		},
		API: APIConfig{Listen: "127.0.0.1:9094"},
		Proxy: ProxyConfig{
			Listen: "127.0.0.1:9095", Members: true,
			Anonymous: []string{string(pinset.ScopeAdd), string(pinset.ScopeFiles), string(pinset.ScopeGC), string(pinset.ScopePin), string(pinset.ScopeRead)},
		},
		State:   StateConfig{Store: "badger"},
		Tracker: TrackerConfig{Concurrency: 8, Reserve: 1 << 30, Outage: 10 * time.Minute, Sweep: time.Hour},
	}
}

// Domains are the failure domains from coarse to fine, without the empty ones.
func (c Config) Domains() []string {
	var out []string
	for _, d := range []string{c.Region, c.Household} {
		if d != "" {
			out = append(out, d)
		}
	}
	return out
}

// leastGive is what a peer lends at least: allocation counts in MiB, and who
// forgets the unit should hear of it.
const leastGive = 1 << 20

// Validate says what cannot work, naming key, value and what is possible.
func (c Config) Validate() error {
	if c.Name == "" || len(c.Name) > pinset.MaxName {
		return pinset.Invalid("name %q: want 1 to %d bytes", c.Name, pinset.MaxName)
	}
	for _, check := range []struct {
		key, value string
		possible   []string
	}{
		{"ipfs.node", c.IPFS.Node, []string{"auto", "kubo", "embedded"}},
		{"ipfs.blockstore", c.IPFS.Blockstore, []string{"flatfs", "badger"}},
		{"state.store", c.State.Store, []string{"badger", "pebble"}},
	} {
		if err := oneOf(check.key, check.value, check.possible); err != nil {
			return err
		}
	}
	if c.Give > 0 && c.Give < leastGive {
		return pinset.Invalid("give %s: want at least %s, with a unit as in 500GB", pinset.FormatSize(c.Give), pinset.FormatSize(leastGive))
	}
	if c.Tracker.Concurrency < 1 || c.Tracker.Concurrency > 256 {
		return pinset.Invalid("tracker.concurrency %d: want 1 to 256", c.Tracker.Concurrency)
	}
	if c.Network.Heartbeat < time.Second {
		return pinset.Invalid("network.heartbeat %s: want at least 1s", c.Network.Heartbeat)
	}
	if err := c.validateTraffic(); err != nil {
		return err
	}
	for _, s := range c.Proxy.Anonymous {
		if err := oneOf("proxy.anonymous", s, []string{"read", "pin", "add", "files", "gc"}); err != nil {
			return err
		}
	}
	for key, word := range map[string]string{"region": c.Region, "household": c.Household} {
		if len(word) > pinset.MaxTag || strings.ContainsAny(word, " \t\r\n,") || !utf8.ValidString(word) {
			return pinset.Invalid("%s %q: want a word of at most %d bytes without spaces and commas", key, word, pinset.MaxTag)
		}
	}
	return pinset.ValidateTags(c.Tags)
}

// leastRate is the least that a line may be held to, in bytes a second: a block is up
// to 2 MiB, and who waits longer than minutes for one gives up.
const leastRate = 64 << 10

func (c Config) validateTraffic() error {
	if _, err := c.Traffic.rules(); err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "traffic")
	}
	for key, n := range map[string]uint64{"traffic.day": c.Traffic.Day, "traffic.month": c.Traffic.Month} {
		if n > 0 && n < leastGive {
			return pinset.Invalid("%s %s: want at least %s, with a unit as in 20GB, or 0 for no limit", key, pinset.FormatSize(n), pinset.FormatSize(leastGive))
		}
	}
	for key, n := range map[string]uint64{"ipfs.send_rate": c.IPFS.SendRate, "ipfs.fetch_rate": c.IPFS.FetchRate} {
		if n > 0 && n < leastRate {
			return pinset.Invalid("%s %s a second: want at least %s, with a unit as in 2MB, or 0 for no limit", key, pinset.FormatSize(n), pinset.FormatSize(leastRate))
		}
	}
	return nil
}

func oneOf(key, value string, possible []string) error {
	for _, p := range possible {
		if value == p {
			return nil
		}
	}
	return unknown(pinset.Invalid("%s %q: want one of %v", key, value, possible), value, possible)
}

// unknown adds the nearest possible word to an error, if one is near.
func unknown(e *pinset.Error, given string, possible []string) error {
	if near := pinset.Nearest(given, possible); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e
}

// DefaultDir is where a peer lives when nobody says otherwise: $PINFOLD_PATH, or
// .pinfold in the home directory.
func DefaultDir() (string, error) {
	if dir := os.Getenv("PINFOLD_PATH"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", pinset.Wrap(pinset.KindInvalid, err, "find home directory (set PINFOLD_PATH)")
	}
	return filepath.Join(home, ".pinfold"), nil
}
