package httpproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/boxo/files"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipldlegacy "github.com/ipfs/go-ipld-legacy"
	"github.com/ipld/go-ipld-prime/codec"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"

	"github.com/pinfold/pinfold/pinset"
)

// What Kubo would answer, from the embedded node: what Kubo's command line needs to
// read.

// locals are the commands that the embedded node can answer.
func locals() []*command {
	path, ref, read := []string{"ipfs-path"}, []string{"ref"}, pinset.ScopeRead
	return []*command{
		{name: "cat", scope: read, args: path, stdin: true, local: (*call).cat, options: []option{{"offset,o", wide}, {"length,l", wide}, {"progress,p", flag}}},
		{name: "get", scope: read, args: path, local: (*call).get, options: []option{{"output,o", word}, {"archive,a", flag}, {"compress,C", flag},
			{"compression-level,l", number}, {"progress,p", flag}}},
		{name: "ls", scope: read, args: path, stdin: true, local: (*call).ls, options: []option{{"headers,v", flag}, {"resolve-type", flag}, {"size", flag}, {"stream,s", flag}, {"long,l", flag}}},
		{name: "refs", scope: read, args: path, stdin: true, local: (*call).refs, options: []option{{"format", word}, {"edges,e", flag}, {"unique,u", flag}, {"recursive,r", flag}, {"max-depth", number}}},
		{name: "resolve", scope: read, args: []string{"name"}, local: (*call).resolveName, options: []option{{"recursive,r", flag}, {"dht-record-count,dhtrc", number}, {"dht-timeout,dhtt", word}}},
		{name: "block/get", scope: read, args: []string{"cid"}, local: (*call).blockGet},
		{name: "block/stat", scope: read, args: []string{"cid"}, local: (*call).blockStat},
		{name: "dag/get", scope: read, args: ref, local: (*call).dagGet, options: []option{{"output-codec", word}}},
		{name: "dag/resolve", scope: read, args: ref, local: (*call).dagResolve},
		{name: "dag/stat", scope: read, args: []string{"root"}, local: (*call).dagStat, options: []option{{"progress,p", flag}}},
		{name: "swarm/peers", scope: read, local: (*call).swarmPeers, options: []option{{"verbose,v", flag}, {"streams", flag}, {"latency", flag}, {"direction", flag}, {"identify", flag}}},
		{name: "swarm/addrs/local", scope: read, local: (*call).swarmAddrs, options: []option{{"id", flag}}},
		{name: "swarm/addrs/listen", scope: read, local: (*call).swarmAddrs},
		{name: "swarm/connect", scope: pinset.ScopePin, args: []string{"address"}, stdin: true, local: (*call).swarmConnect},
	}
}

// said gives an error of the embedded node as Kubo would put it: without what was
// wrapped around it.
func said(err error) error {
	var e *pinset.Error
	kind := pinset.KindOf(err)
	if err == nil || kind != pinset.KindNotFound && kind != pinset.KindInvalid {
		return err
	}
	for errors.As(err, &e) && e.Err != nil {
		err = e.Err
	}
	if errors.As(err, &e) {
		return kuboError("%s", e.Msg)
	}
	return kuboError("%v", err)
}

// bytes begins an answer of bytes; Kubo calls it text, so that no browser takes it
// for a page.
func (c *call) bytes(kind string, size int64) {
	h := c.w.Header()
	h["X-Stream-Output"] = []string{"1"}
	if size >= 0 {
		h["X-Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	c.preamble(http.StatusOK, kind)
}

// sink is an answer of bytes that gives the client a while for each piece.
type sink struct{ c *call }

func (s sink) Write(p []byte) (int, error) {
	if err := s.c.write(p); err != nil {
		return 0, err
	}
	return len(p), s.c.rc.Flush()
}

func (c *call) open(arg string) (files.Node, error) {
	if _, err := c.root(arg); err != nil {
		return nil, err
	}
	nd, err := c.s.deps.Data.Open(c.ctx, fullPath(arg))
	return nd, said(err)
}

func (c *call) cat() error {
	offset, _ := strconv.ParseInt(c.opts["offset"], 0, 64)
	length, limited := c.opts["length"]
	left, _ := strconv.ParseInt(length, 0, 64)
	switch {
	case offset < 0:
		return kuboError("cannot specify negative offset")
	case left < 0:
		return kuboError("cannot specify negative length")
	}
	var parts []io.Reader
	var total int64
	for _, arg := range c.args {
		nd, err := c.open(arg)
		if err != nil {
			return err
		}
		defer nd.Close()
		f, ok := nd.(files.File)
		if _, dir := nd.(files.Directory); dir || !ok {
			return kuboError("this dag node is a directory")
		}
		size, err := f.Size()
		if err != nil {
			return said(err)
		}
		skip := min(offset, size)
		offset -= skip
		if err := pass(f, skip); err != nil {
			return said(err)
		}
		take := size - skip
		if limited {
			take = min(take, left)
			left -= take
		}
		total += take
		parts = append(parts, io.LimitReader(f, take))
	}
	c.bytes("text/plain", total)
	_, err := io.Copy(sink{c}, io.MultiReader(parts...))
	return err
}

// pass skips the beginning of a file.
func pass(f files.File, n int64) error {
	if n == 0 {
		return nil
	}
	if s, ok := f.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, f, n)
	return err
}

// get answers with a tar archive, as Kubo does; its client takes that apart.
func (c *call) get() error {
	if c.flag("compress", false) {
		return kuboError("get --compress: not possible over pinfold's embedded IPFS node (run Kubo beside pinfold)")
	}
	nd, err := c.open(c.args[0])
	if err != nil {
		return err
	}
	defer nd.Close()
	size, err := nd.Size()
	if err != nil {
		size = -1
	}
	c.bytes("application/x-tar", size)
	w, err := files.NewTarWriter(sink{c})
	if err == nil {
		err = w.WriteFile(nd, c.args[0][strings.LastIndexByte(strings.TrimSuffix(c.args[0], "/"), '/')+1:])
	}
	if err == nil {
		err = w.Close()
	}
	return err
}

type lsLink struct {
	Name, Hash string
	Size       uint64
	Type       int
	Target     string
	Mode       uint32
	ModTime    string
}

type lsObject struct {
	Hash  string
	Links []lsLink
}

type lsMessage struct{ Objects []lsObject }

func (c *call) ls() error {
	e, err := c.encoder()
	if err != nil {
		return err
	}
	streams := c.flag("stream", false)
	out, whole := c.lines(), lsMessage{}
	for _, arg := range c.args {
		if _, err := c.root(arg); err != nil {
			return out.end(err)
		}
		at := lsObject{Hash: arg, Links: []lsLink{}}
		for l, err := range c.s.deps.Data.List(c.ctx, fullPath(arg)) {
			if err != nil {
				return out.end(said(err))
			}
			link := lsLink{Name: l.Name, Hash: e.encode(l.CID), Size: l.Size, Type: 2, ModTime: "0001-01-01T00:00:00Z"}
			if l.Dir {
				link.Type, link.Size = 1, 0
			}
			if !streams {
				at.Links = append(at.Links, link)
			} else if err := out.emit(lsMessage{[]lsObject{{arg, []lsLink{link}}}}); err != nil {
				return out.end(err)
			}
		}
		whole.Objects = append(whole.Objects, at)
	}
	if streams {
		return out.end(c.ctx.Err())
	}
	return c.once(whole)
}

// root checks how an argument is spelled and returns the CID it begins with.
func (c *call) root(arg string) (cid.Cid, error) {
	first, _, _ := strings.Cut(strings.TrimPrefix(arg, "/ipfs/"), "/")
	return c.resolve(first)
}

func fullPath(arg string) string {
	if strings.HasPrefix(arg, "/") {
		return arg
	}
	return "/ipfs/" + arg
}

// refsWalk is one refs under way.
type refsWalk struct {
	c       *call
	out     *lines
	enc     encoder
	format  string
	unique  *cid.Set // nil: repeated links are told again
	deepest int      // -1: no limit
}

func (c *call) refs() (err error) {
	w := refsWalk{c: c, format: "<dst>", deepest: 1}
	if text := c.opts["format"]; text != "" {
		w.format = text
	}
	if c.flag("edges", false) {
		if w.format != "<dst>" {
			return kuboError("using format argument with edges is not allowed")
		}
		w.format = "<src> -> <dst>"
	}
	if c.flag("recursive", false) {
		w.deepest = c.number("max-depth", -1)
	}
	if c.flag("unique", false) {
		w.unique = cid.NewSet()
	}
	if w.enc, err = c.encoder(); err != nil {
		return err
	}
	var roots []cid.Cid
	for _, arg := range c.args {
		k, err := c.resolve(arg)
		if err != nil {
			return said(err)
		}
		roots = append(roots, k)
	}
	w.out = c.lines()
	for _, k := range roots {
		if err := w.below(k, 1); err != nil {
			if c.ctx.Err() != nil {
				return w.out.end(c.ctx.Err())
			}
			return w.out.end(w.out.emit(struct{ Ref, Err string }{"", err.Error()}))
		}
	}
	return w.out.end(nil)
}

func (w *refsWalk) below(k cid.Cid, depth int) error {
	if w.deepest >= 0 && depth > w.deepest {
		return nil
	}
	links, err := w.c.s.deps.Blocks.Links(w.c.ctx, k)
	if err != nil {
		return err
	}
	for _, l := range links {
		if w.unique != nil && !w.unique.Visit(l.CID) {
			continue
		}
		text := strings.NewReplacer("<src>", w.enc.encode(k), "<dst>", w.enc.encode(l.CID), "<linkname>", l.Name).Replace(w.format)
		if err := w.out.emit(struct{ Ref, Err string }{text, ""}); err != nil {
			return err
		}
		if err := w.below(l.CID, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) resolveName() error {
	arg := c.args[0]
	if strings.HasPrefix(arg, "/ipns/") {
		return kuboError("resolve %s: names are not resolved by pinfold's embedded IPFS node (run Kubo beside pinfold)", arg)
	}
	k, err := c.resolve(arg)
	if err != nil {
		return said(err)
	}
	e, err := c.encoder()
	if err != nil {
		return err
	}
	return c.once(struct{ Path string }{"/ipfs/" + e.encode(k)})
}

// block returns the block at an argument.
func (c *call) block() (cid.Cid, []byte, error) {
	k, err := c.resolve(c.args[0])
	if err != nil {
		return k, nil, said(err)
	}
	data, err := c.s.deps.Blocks.Block(c.ctx, k)
	return k, data, said(err)
}

func (c *call) blockGet() error {
	_, data, err := c.block()
	if err != nil {
		return err
	}
	c.bytes("application/vnd.ipld.raw", -1)
	return c.write(data)
}

// blockMessage is the answer of block/put and block/stat.
type blockMessage struct {
	Key  string
	Size int
}

func (c *call) blockStat() error {
	k, data, err := c.block()
	if err != nil {
		return err
	}
	e, err := c.encoder()
	if err != nil {
		return err
	}
	return c.once(blockMessage{e.encode(k), len(data)})
}

func (c *call) dagGet() error {
	var write codec.Encoder
	switch name := c.opts["output-codec"]; name {
	case "", "dag-json":
		write = dagjson.Encode
	case "dag-cbor":
		write = dagcbor.Encode
	default:
		return kuboError("unknown multicodec: %q", name)
	}
	k, data, err := c.block()
	if err != nil {
		return err
	}
	b, err := blocks.NewBlockWithCid(data, k)
	if err != nil {
		return err
	}
	nd, err := ipldlegacy.NewDecoder().DecodeNode(c.ctx, b)
	if err != nil {
		return kuboError("%v", err)
	}
	var out bytes.Buffer
	if err := write(nd, &out); err != nil {
		return kuboError("%v", err)
	}
	c.bytes("text/plain", -1)
	return c.write(out.Bytes())
}

func (c *call) dagResolve() error {
	k, err := c.resolve(c.args[0])
	if err != nil {
		return said(err)
	}
	return c.once(struct {
		Cid     linkMessage
		RemPath string
	}{linkMessage{k.String()}, ""})
}

type dagStat struct {
	Cid             string
	Size, NumBlocks uint64
}

func (c *call) dagStat() error {
	k, err := c.resolve(c.args[0])
	if err != nil {
		return said(err)
	}
	sum, err := c.s.deps.Node.DAGSize(c.ctx, k, pinset.Recursive)
	if err != nil {
		return err
	}
	out := c.lines()
	return out.end(out.emit(struct {
		UniqueBlocks, TotalSize uint64
		Ratio                   float64
		DagStats                []dagStat
	}{sum.Blocks, sum.Bytes, 1, []dagStat{{k.String(), sum.Bytes, sum.Blocks}}}))
}

type swarmPeer struct {
	Addr, Peer string
	Identify   struct {
		ID, PublicKey string
		Addresses     []string
		AgentVersion  string
		Protocols     []string
	}
}

func (c *call) swarmPeers() error {
	var peers []swarmPeer
	for _, text := range c.s.deps.Blocks.Connected(c.ctx) {
		addr, id, _ := strings.Cut(text, "/p2p/")
		peers = append(peers, swarmPeer{Addr: addr, Peer: id})
	}
	return c.once(struct{ Peers []swarmPeer }{peers})
}

func (c *call) swarmAddrs() error {
	id, err := c.s.deps.Node.Identity(c.ctx)
	if err != nil {
		return err
	}
	var addrs []string
	for _, a := range id.Addresses {
		if !c.flag("id", false) {
			a, _, _ = strings.Cut(a, "/p2p/")
		}
		addrs = append(addrs, a)
	}
	slices.Sort(addrs)
	return c.once(struct{ Strings []string }{addrs})
}

func (c *call) swarmConnect() error {
	var out []string
	for _, a := range c.args {
		if err := c.s.deps.Node.Connect(context.WithoutCancel(c.ctx), a); err != nil {
			return said(err)
		}
		_, id, _ := strings.Cut(a, "/p2p/")
		out = append(out, "connect "+id+" success")
	}
	return c.once(struct{ Strings []string }{out})
}
