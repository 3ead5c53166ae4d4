package httpproxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// linkMessage is a CID in Kubo's JSON of links.
type linkMessage struct {
	To string `json:"/"`
}

// blockPut and dagPut hold the answer until the body was read: a client whose HTTP
// library stops sending once an answer begins would lose blocks, and ipfs-cluster
// does (golang/go#15527).
func (c *call) blockPut() error {
	if c.s.deps.Kubo == nil {
		return c.putHere()
	}
	return c.put(func(line []byte) (cid.Cid, error) {
		var m struct{ Key string }
		if err := json.Unmarshal(line, &m); err != nil {
			return cid.Undef, err
		}
		return cid.Decode(m.Key)
	})
}

func (c *call) dagPut() error {
	return c.put(func(line []byte) (cid.Cid, error) {
		var m struct{ Cid linkMessage }
		if err := json.Unmarshal(line, &m); err != nil {
			return cid.Undef, err
		}
		return cid.Decode(m.Cid.To)
	})
}

// putHere is block/put over the embedded node.
func (c *call) putHere() error {
	codecs := map[string]uint64{"": cid.Raw, "raw": cid.Raw, "dag-pb": cid.DagProtobuf, "dag-cbor": cid.DagCBOR, "dag-json": cid.DagJSON}
	kind, ok := codecs[c.opts["cid-codec"]]
	if _, old := c.opts["format"]; old || !ok {
		return kuboError("block put: of the codecs, pinfold's embedded IPFS node knows raw, dag-pb, dag-cbor and dag-json, and no --format")
	}
	hash := uint64(multihash.SHA2_256)
	if name := c.opts["mhtype"]; name != "" {
		if hash, ok = multihash.Names[name]; !ok {
			return kuboError("unrecognized multihash function: %s", name)
		}
	}
	form := cid.Prefix{Version: 1, Codec: kind, MhType: hash, MhLength: c.number("mhlen", -1)}
	dir, err := c.files()
	if err != nil {
		return err
	}
	e, err := c.encoder()
	if err != nil {
		return err
	}
	var held []byte
	var roots []pinset.Added
	it := dir.Entries()
	for it.Next() {
		k, size, err := c.putOne(it.Node(), form)
		if err != nil {
			return c.answerHeld(held, err)
		}
		held = append(held, encode(blockMessage{e.encode(k), size})...)
		if c.flag("pin", false) {
			roots = append(roots, pinset.Added{CID: k})
		}
	}
	if err := it.Err(); err != nil {
		return c.answerHeld(held, kuboError("%v", err))
	}
	return c.answerHeld(held, c.adopt("", one, roots...))
}

// maxBlock is the largest block that bitswap moves.
const maxBlock = 2 << 20

func (c *call) putOne(nd files.Node, form cid.Prefix) (cid.Cid, int, error) {
	f, ok := nd.(files.File)
	if !ok {
		return cid.Undef, 0, kuboError("expected a file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBlock+1))
	if err != nil {
		return cid.Undef, 0, kuboError("%v", err)
	}
	if len(data) > maxBlock {
		return cid.Undef, 0, kuboError("produced block is over 2MiB: big blocks can't be exchanged with other peers. consider using UnixFS for automatic chunking of bigger files, or pass --allow-big-block to override")
	}
	k, err := form.Sum(data)
	if err != nil {
		return cid.Undef, 0, kuboError("%v", err)
	}
	return k, len(data), said(c.s.deps.Blocks.PutBlock(c.ctx, k, data))
}

// put stores blocks at Kubo and pins each in the cluster, if that was asked for.
func (c *call) put(root func(line []byte) (cid.Cid, error)) error {
	if c.s.deps.Kubo == nil {
		return c.notOffered()
	}
	q := without(c.query(), "pin")
	r, err := c.send(c.outbound(q))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		c.copyHead(r)
		return c.copyBody(r)
	}
	var held []byte
	var roots []pinset.Added
	for line, err := range linesOf(r) {
		if err != nil {
			return c.answerHeld(held, err)
		}
		held = append(held, line...)
		if !c.flag("pin", false) || len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		k, err := root(line)
		if err != nil {
			return pinset.Wrap(pinset.KindUnavailable, err, "read the ipfs node's answer")
		}
		roots = append(roots, pinset.Added{CID: k})
	}
	if err := c.adopt("", one, roots...); err != nil {
		return err
	}
	return c.answerHeld(held, nil)
}

// answerHeld writes lines that were held back, once the body was read.
func (c *call) answerHeld(held []byte, err error) error {
	if err == nil {
		_, err = io.Copy(io.Discard, c.body) // what Kubo left of it
	}
	out := c.lines()
	if len(held) > 0 {
		_ = out.add(func(b []byte) []byte { return append(b, held...) }) // end tells
	}
	return out.end(err)
}

// importMessage is a line of dag/import.
type importMessage struct {
	Root *rootMessage `json:",omitempty"`
}

type rootMessage struct {
	Cid         linkMessage
	PinErrorMsg string
}

// dagImport lets Kubo take the blocks of CAR files in, and pins their roots, which
// it reads on the way, in the cluster.
func (c *call) dagImport() error {
	if c.s.deps.Kubo == nil {
		return c.notOffered()
	}
	if !c.flag("pin-roots", true) || c.flag("local-only", false) {
		return c.forward()
	}
	dir, err := c.files()
	if err != nil {
		return err
	}
	roots := &carRoots{seen: *cid.NewSet()}
	form := files.NewMultiFileReader(carDir{dir, roots}, false, false)
	q := c.query()
	q.Set("pin-roots", "false")
	f := c.outbound(q)
	f.Body = form
	f.Header.Set("Content-Type", "multipart/form-data; boundary="+form.Boundary())
	r, err := c.send(f)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		c.copyHead(r)
		return c.copyBody(r)
	}
	var stats []byte
	for line, err := range linesOf(r) {
		if err != nil {
			return c.answerHeld(nil, err)
		}
		stats = append(stats, line...)
	}
	var held []byte
	for _, k := range roots.list() {
		m := importMessage{&rootMessage{Cid: linkMessage{k.String()}}}
		if err := c.adoptRoot(k); err != nil {
			m.Root.PinErrorMsg = message(err)
		}
		held = append(held, encode(m)...)
	}
	return c.answerHeld(append(held, stats...), nil)
}

// adoptRoot pins a root of a CAR whose blocks are here.
func (c *call) adoptRoot(k cid.Cid) error {
	if _, err := c.s.deps.Node.DAGSize(c.ctx, k, pinset.Direct); err != nil {
		return err
	}
	return c.adopt("", one, pinset.Added{CID: k})
}
