package httpproxy

import (
	"slices"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// kind of an option's value.
type kind byte

const (
	word     kind = iota // anything
	flag                 // true or false
	number               // a whole one
	wide                 // one of 64 bits
	unsigned             // one that is not negative
)

func (k kind) String() string { return [...]string{"string", "bool", "int", "int64", "uint"}[k] }

// option of a command: its names, separated by commas, the first one the long.
type option struct {
	names string
	kind  kind
}

// command is an endpoint. Over Kubo a command without a run of its own is sent on
// as it is; over the embedded node it is local's, if there is one.
type command struct {
	name    string
	scope   pinset.Scope
	args    []string // names of the arguments that must be there
	stdin   bool     // more arguments may be lines of the body
	file    string   // name of the file argument that must be there; "": none
	options []option
	run     func(*call) error
	local   func(*call) error
	unknown bool // the table does not name it
	sent    bool // Kubo reads the arguments and keeps the timeout
}

// everywhere are the options that every command knows.
func everywhere() []option {
	return []option{
		{"encoding,enc", word}, {"timeout", word}, {"stream-channels", flag}, {"cid-base", word}, {"upgrade-cidv0-in-output", flag},
		{"offline", flag}, {"local,L", flag}, {"debug,D", flag}, {"help", flag}, {"h", flag}, {"api", word}, {"api-auth", word},
		{"pinfold-wait", word},
	}
}

// table is everything that this door answers or sends on without scope admin.
func (s *Server) table() []*command {
	read, pin := pinset.ScopeRead, pinset.ScopePin
	path, r := []string{"ipfs-path"}, option{"recursive,r", flag}
	return slices.Concat(s.forwarded(), locals(), []*command{
		{name: "version", scope: read, options: []option{{"number,n", flag}, {"commit", flag}, {"repo", flag}, {"all", flag}}, run: (*call).version},
		{name: "id", scope: read, options: []option{{"format,f", word}, {"peerid-base", word}}, run: (*call).id},
		{name: "pin/add", scope: pin, args: path, stdin: true, run: (*call).pinAdd,
			options: append([]option{r, {"name,n", word}, {"progress", flag}}, provide()...)},
		{name: "pin/rm", scope: pin, args: path, stdin: true, options: []option{r}, run: (*call).pinRm},
		{name: "pin/ls", scope: read, run: (*call).pinLs,
			options: []option{{"type,t", word}, {"quiet,q", flag}, {"name,n", word}, {"stream,s", flag}, {"names", flag}}},
		{name: "pin/update", scope: pin, args: []string{"from-path", "to-path"}, run: (*call).pinUpdate,
			options: append([]option{{"unpin", flag}}, provide()...)},
		{name: "pin/verify", scope: read, options: []option{{"verbose", flag}, {"quiet,q", flag}}, run: (*call).pinVerify},
		{name: "repo/stat", scope: read, options: []option{{"size-only,s", flag}, {"human,H", flag}}, run: (*call).repoStat},
		{name: "stats/repo", scope: read, options: []option{{"size-only,s", flag}, {"human,H", flag}}, run: (*call).repoStat},
		{name: "repo/gc", scope: pinset.ScopeGC, options: []option{{"stream-errors", flag}, {"quiet,q", flag}, {"silent", flag}}, run: (*call).repoGC},
		{name: "add", scope: pinset.ScopeAdd, file: "path", options: addOptions(), run: (*call).add},
		{name: "block/put", scope: pinset.ScopeAdd, file: "data", run: (*call).blockPut, options: []option{{"cid-codec", word}, {"mhtype", word},
			{"mhlen", number}, {"pin", flag}, {"allow-big-block", flag}, {"format,f", word}}},
		{name: "dag/put", scope: pinset.ScopeAdd, file: "object data", run: (*call).dagPut, options: []option{{"store-codec", word},
			{"input-codec", word}, {"pin", flag}, {"hash", word}, {"allow-big-block", flag}}},
		{name: "dag/import", scope: pinset.ScopeAdd, file: "path", run: (*call).dagImport, options: append([]option{{"pin-roots", flag},
			{"local-only", flag}, {"silent", flag}, {"stats", flag}, {"allow-big-block", flag}}, provide()...)},
	})
}

func addOptions() []option {
	return append([]option{{"recursive,r", flag}, {"dereference-args", flag}, {"dereference-symlinks", flag}, {"stdin-name", word}, {"hidden,H", flag},
		{"ignore-rules-path", word}, {"empty-dirs,E", flag}, {"quiet,q", flag}, {"quieter,Q", flag}, {"silent", flag}, {"progress,p", flag},
		{"only-hash,n", flag}, {"wrap-with-directory,w", flag}, {"pin", flag}, {"pin-name", word}, {"to-files", word}, {"cid-version", number},
		{"hash", word}, {"raw-leaves", flag}, {"chunker,s", word}, {"trickle,t", flag}, {"max-file-links", number}, {"max-directory-links", number},
		{"max-hamt-fanout", number}, {"inline", flag}, {"inline-limit", number}, {"nocopy", flag}, {"fscache", flag}, {"preserve-mode", flag},
		{"preserve-mtime", flag}, {"mode", unsigned}, {"mtime", wide}, {"mtime-nsecs", unsigned}}, provide()...)
}

func provide() []option {
	return []option{{"fast-provide-root", flag}, {"fast-provide-dag", flag}, {"fast-provide-wait", flag}}
}

// forwarded are the calls that read or describe what is there: over Kubo they go on
// as they are.
func (s *Server) forwarded() []*command {
	var out []*command
	for scope, names := range map[pinset.Scope]string{
		pinset.ScopeRead: `commands refs/local name/resolve dag/export swarm/addrs
			stats/bw stats/bitswap bitswap/stat bitswap/wantlist bitswap/ledger repo/version repo/ls
			routing/findprovs routing/findpeer
			cid/base32 cid/bases cid/codecs cid/format cid/hashes cid/inspect
			multibase/decode multibase/encode multibase/list multibase/transcode
			pin/remote/service/ls log/ls provide/stat`,
		pinset.ScopePin:   "routing/provide",
		pinset.ScopeFiles: "files/ls files/stat files/read",
	} {
		for name := range strings.FieldsSeq(names) {
			out = append(out, &command{name: name, scope: scope})
		}
	}
	for name := range strings.FieldsSeq("cp mv rm mkdir write flush chcid chmod touch") {
		change := &command{name: "files/" + name, scope: pinset.ScopeFiles}
		if s.cfg.KeepFiles && s.deps.Kubo != nil {
			change.run, change.sent = (*call).changeFiles, true
		}
		out = append(out, change)
	}
	return out
}

// compile makes the table a map, and says of each command who answers it.
func (s *Server) compile(table []*command) map[string]*command {
	out := map[string]*command{}
	for _, c := range table {
		c.options = append(c.options, everywhere()...)
		switch {
		case c.run != nil:
		case s.deps.Kubo != nil:
			c.run, c.sent = (*call).forward, true
		case c.local != nil:
			c.run = c.local
		default:
			c.run, c.sent = (*call).notOffered, true
		}
		out[c.name] = c
	}
	return out
}

// foreign stands for what the table does not name: it is for administrators, and
// goes to Kubo under its cleaned name.
func (s *Server) foreign(name string) *command {
	c := &command{name: name, scope: pinset.ScopeAdmin, run: (*call).notOffered, unknown: true, sent: true}
	if s.deps.Kubo != nil {
		c.run = (*call).forward
	}
	return c
}

// notOffered says so, in a way that Kubo's clients show.
func (c *call) notOffered() error {
	return forbidden("%s: not offered over pinfold's embedded IPFS node", c.cmd.name).WithHint("run Kubo beside pinfold: ipfs.node = kubo")
}
