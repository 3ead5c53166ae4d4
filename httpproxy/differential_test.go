package httpproxy_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// likeness is how far the proxy's answer must be Kubo's.
type likeness string

const (
	same    likeness = ""        // byte for byte, but for the order of lines
	shape   likeness = "shape"   // JSON lines with the same fields and types; ours may have more
	head    likeness = "head"    // status and headers
	refused likeness = "refused" // ours says no, with 403
)

// comparison is the same request to Kubo and to the proxy. They run in order:
// later ones see what earlier ones did.
type comparison struct {
	request
	like likeness
}

const (
	hello    = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN" // "hello\n"
	world    = "QmQzCQn4puG4qu8PVysxZmscmQ5vT1ZXpqo7f58Uh9QfyY" // not there
	rootOfD  = "Qmbpg7mWq8bnkjtffCBmiYV2ebpDyFgohZeEDRoVqpd3NS" // the tree d that is added
	childOfD = "QmRSmZi9vaPTEP2y39ZbknpxoXoGRXxiiiwmVQFmTFJEUF" // d/b/c.txt
	emptied  = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn" // an empty directory
)

// car is a CAR file of one raw block; carWithout names another root.
var (
	car        = unhex("3aa265726f6f747381d82a58250001551220dd01c8ec2025a1eb3d4e930611a22be92c254ee0136591904c16fc1a5e6671546776657273696f6e012c01551220dd01c8ec2025a1eb3d4e930611a22be92c254ee0136591904c16fc1a5e6671546361722066696c65")
	carWithout = car[:20] + "\x00" + car[21:]
)

func unhex(text string) string {
	raw, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func get(path string) comparison              { return comparison{request: request{path: path}} }
func like(l likeness, path string) comparison { return comparison{request{path: path}, l} }
func with(path string, files ...file) comparison {
	return comparison{request: request{path: path, files: files}}
}

// headers that are compared. Date, Server, Content-Length and Transfer-Encoding are
// each server's own.
func comparedHeaders() []string {
	return []string{"Content-Type", "X-Stream-Output", "X-Chunked-Output", "X-Content-Length", "Access-Control-Allow-Headers",
		"Access-Control-Expose-Headers", "Vary", "Allow", "X-Content-Type-Options", "Content-Disposition"}
}

func TestAnswersAreKubos(t *testing.T) {
	ref, behind := kubotest.Start(t), kubotest.Start(t)
	p := startPeer(t, behind)
	kubo := url(t, ref)
	ask(t, kubo, request{path: "pin/rm?arg=" + emptied}) // a new repository pins it
	for i, tc := range slices.Concat(intercepted(), forwarded()) {
		t.Run(fmt.Sprintf("%03d %s", i, tc.path), func(t *testing.T) {
			var want answer
			if tc.like != refused { // Kubo would do it
				want = ask(t, kubo, tc.request)
			}
			got := ask(t, p.api, tc.request)
			if diff := tc.diff(want, got); diff != "" {
				t.Errorf("%s\nKubo:  %d %s %q\nproxy: %d %s %q", diff, want.status, want.trailer, cut(want.body), got.status, got.trailer, cut(got.body))
			}
		})
	}
}

// TestTheEmbeddedNodeAnswersLikeKubo holds it to what Kubo's command line needs.
func TestTheEmbeddedNodeAnswersLikeKubo(t *testing.T) {
	ref := kubotest.Start(t)
	p := startPeer(t, nil)
	kubo := url(t, ref)
	ask(t, kubo, request{path: "pin/rm?arg=" + emptied})
	for i, tc := range embedded() {
		t.Run(fmt.Sprintf("%03d %s", i, tc.path), func(t *testing.T) {
			want, got := ask(t, kubo, tc.request), ask(t, p.api, tc.request)
			if diff := tc.diff(want, got); diff != "" {
				t.Errorf("%s\nKubo:  %d %s %q\nproxy: %d %s %q", diff, want.status, want.trailer, cut(want.body), got.status, got.trailer, cut(got.body))
			}
		})
	}
}

func cut(s string) string { return s[:min(len(s), 1000)] }

func (tc comparison) diff(want, got answer) string {
	if tc.like == refused {
		if got.status != 403 || !strings.Contains(got.body, `"Message"`) {
			return "not refused"
		}
		return ""
	}
	if want.status != got.status {
		return "status"
	}
	for _, name := range comparedHeaders() {
		if !slices.Equal(want.header[name], got.header[name]) {
			return fmt.Sprintf("header %s: %q, want %q", name, got.header[name], want.header[name])
		}
	}
	if want.trailer != got.trailer {
		return "trailer"
	}
	switch tc.like {
	case head:
		return ""
	case shape:
		return diffShape(want.body, got.body)
	}
	if sorted(want.body) != sorted(got.body) {
		return "body"
	}
	return ""
}

func sorted(body string) string {
	lines := strings.SplitAfter(body, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func diffShape(want, got string) string {
	a, b := shapeOf(want), shapeOf(got)
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if b[k] != a[k] && b[k] != "" {
			return fmt.Sprintf("%s: %s, want %s", k, b[k], a[k])
		}
		if b[k] == "" {
			return "no " + k
		}
	}
	return ""
}

// shapeOf are the fields of JSON lines and the types they have.
func shapeOf(body string) map[string]string {
	out := map[string]string{}
	d := json.NewDecoder(strings.NewReader(body))
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			out["."] = "not JSON"
			return out
		}
		note(out, ".", v)
	}
	return out
}

func note(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		out[at] = "object"
		for k, x := range v {
			if strings.HasPrefix(k, "Qm") || strings.HasPrefix(k, "baf") || strings.HasPrefix(k, "12D") {
				k = "CID"
			}
			note(out, at+k+".", x)
		}
	case []any:
		out[at] = "array"
		for _, x := range v {
			note(out, at+"[]", x)
		}
	default:
		out[at] = fmt.Sprintf("%T", v)
	}
}

func tree() []file {
	return []file{{"d", "", true}, {"d%2Fa.txt", "hello\n", false}, {"d%2Fb", "", true}, {"d%2Fb%2Fc.txt", "deep\n", false}}
}

// intercepted are the calls that the cluster answers.
func intercepted() []comparison {
	return []comparison{
		like(shape, "version"), like(shape, "version?number=true"), like(shape, "version?all=true"), get("version?number=perhaps"),
		like(shape, "id"), get("id?arg=nobody"),
		// add
		with("add?progress=true", file{"a.txt", "hello\n", false}), with("add", file{"a.txt", "hello\n", false}), with("add?quieter=true&pin=true", file{"a.txt", "hello\n", false}),
		with("add", file{"x", "1", false}, file{"y", "2", false}), with("add?wrap-with-directory=true", file{"x", "1", false}, file{"y", "2", false}),
		with("add?recursive=true", tree()...), with("add?cid-version=1", tree()...), with("add?cid-version=1&raw-leaves=false", file{"a", "v1", false}),
		with("add?hash=sha2-512", file{"a", "v1", false}), with("add?hash=blake3&cid-version=1", file{"a", "b3", false}), with("add?hash=nothing", file{"a", "b3", false}),
		with("add?chunker=size-10", file{"a", strings.Repeat("chunks", 20), false}), with("add?chunker=bogus", file{"a", "b", false}),
		with("add?trickle=true", file{"a", "trickled", false}), with("add?inline=true&inline-limit=64", file{"a", "tiny", false}),
		with("add?only-hash=true", file{"a", "never kept", false}), with("add?silent=true", file{"a", "silent", false}),
		with("add?pin=false", file{"a", "not pinned", false}), with("add?pin-name=called", file{"n", "named", false}), with("add?pin=false&pin-name=x", file{"n", "named2", false}),
		with("add?mode=420&mtime=1700000000", file{"m", "with mode", false}), with("add?nocopy=perhaps", file{"m", "x", false}), with("add?cid-version=two", file{"m", "x", false}),
		with("add?mode=-1", file{"m", "x", false}), with("add?to-files=/kept.txt", file{"kept.txt", "in files", false}), with("add?cid-version=7", file{"m", "x", false}),
		get("add"), with("add"), with("add?pin-name="+strings.Repeat("n", 300), file{"m", "x", false}), with("add?progress=true&chunker=size-100", file{"big", strings.Repeat("0123456789", 1000), false}),
		with("add?max-file-links=3&chunker=size-10", file{"l", strings.Repeat("links", 50), false}), with("add?cid-base=base58btc&cid-version=1", file{"a", "base", false}), with("add?empty-dirs=false", file{"e", "", true}),
		// pin/add
		get("pin/add"), get("pin/add?arg=bogus"), get("pin/add?arg="), get("pin/add?arg=/ipfs/"), get("pin/add?arg=/nothing/x"), get("pin/add?arg=" + hello + "&recursive=perhaps"),
		get("pin/add?arg=" + hello), get("pin/add?arg=" + hello + "&name=again"), get("pin/add?arg=" + hello + "&recursive=false"), get("pin/add?arg=" + hello + "&arg=" + emptied),
		get("pin/add?arg=/ipfs/" + hello), like(shape, "pin/add?progress=true&arg="+hello), get("pin/add?arg=" + hello + "&arg=bogus"), get("pin/add?arg=" + hello + "&unheard=of"),
		get("pin/add?arg=" + hello + "&recursive=true&recursive=true"), get("pin/add?arg=" + hello + "&r=true&recursive=true"), get("pin/add/" + hello), get("pin/add?arg=" + hello + "&cid-base=base32"), get("pin/add?arg=" + hello + "&cid-base=nothing"),
		get("pin/add?arg=" + hello + "&name=" + strings.Repeat("n", 300)), with("pin/add", file{"stdin", hello + "\n" + emptied + "\n", false}), with("pin/add"),
		// pin/ls
		get("pin/ls?arg=" + hello), get("pin/ls?arg=" + hello + "&names=true"), get("pin/ls?arg=" + hello + "&type=recursive"), get("pin/ls?arg=" + hello + "&type=direct"), get("pin/ls?arg=" + hello + "&type=indirect"),
		get("pin/ls?type=recursive"), get("pin/ls?type=direct"), get("pin/ls?type=indirect"), get("pin/ls"), get("pin/ls?stream=true"), get("pin/ls?stream=true&names=true&type=recursive"), get("pin/ls?name=called"), get("pin/ls?name=called&stream=true"),
		get("pin/ls?name=nobody"), get("pin/ls?name=nobody&stream=true"), get("pin/ls?type=bogus"), get("pin/ls?arg=bogus"), get("pin/ls?arg=" + world), get("pin/ls?arg=" + hello + "&arg=" + world), get("pin/ls?arg=" + hello + "&arg=" + emptied),
		get("pin/ls?stream=perhaps"), get("pin/ls?quiet=true&type=recursive"), get("pin/ls?cid-base=base32&type=recursive"), get("pin/ls?arg=/ipfs/" + hello + "&stream=true"), get("pin/ls/" + hello), get("pin/ls/"),
		get("pin/ls?name=" + strings.Repeat("n", 300)), like(shape, "pin/ls?arg="+childOfD+"&type=all"), like(shape, "pin/ls?arg="+childOfD+"&type=indirect&stream=true"),
		// pin/verify
		get("pin/verify"), get("pin/verify?verbose=true"), get("pin/verify?verbose=true&quiet=true"), get("pin/verify?verbose=perhaps"),
		// pin/update
		get("pin/update"), get("pin/update?arg=" + hello), get("pin/update?arg=" + hello + "&arg=" + emptied), get("pin/update?arg=bogus&arg=" + hello), get("pin/update?arg=" + hello + "&arg=" + hello),
		get("pin/rm?arg=" + emptied), get("pin/update?arg=" + hello + "&arg=" + emptied + "&unpin=false"), get("pin/rm?arg=" + emptied), get("pin/update?arg=" + hello + "&arg=" + emptied), get("pin/update?unpin=perhaps&arg=a&arg=b"),
		// pin/rm
		get("pin/rm"), get("pin/rm?arg=bogus"), get("pin/rm?arg=" + world), get("pin/rm?arg=" + emptied + "&recursive=false"), get("pin/rm?arg=" + emptied + "&recursive=perhaps"), get("pin/rm?arg=" + emptied), get("pin/rm?arg=" + emptied),
		get("pin/add?arg=" + emptied + "&recursive=false"), get("pin/ls?arg=" + emptied), get("pin/ls?type=direct"), get("pin/ls?type=direct&stream=true"), get("pin/add?arg=" + emptied), get("pin/ls?arg=" + emptied), get("pin/rm?arg=" + emptied + "&arg=" + world),
		get("pin/add?arg=" + emptied + "&recursive=false"), get("pin/rm?arg=" + emptied + "&recursive=false"),
		get("pin/update?arg=" + world + "&arg=" + hello + "&timeout=1s"),
		// repo
		like(shape, "repo/stat"), like(shape, "repo/stat?size-only=true"), get("repo/stat?size-only=perhaps"), like(shape, "stats/repo"), like(shape, "repo/gc"), like(shape, "repo/gc?stream-errors=true"), get("repo/gc?silent=perhaps"), get("repo/gc?quiet=true"),
		// blocks
		with("block/put", file{"b", "raw block", false}), with("block/put?pin=true", file{"b", "pinned block", false}), with("block/put?cid-codec=dag-pb", file{"b", "x", false}), with("block/put?mhtype=sha2-512", file{"b", "x", false}),
		with("block/put?mhtype=nothing", file{"b", "x", false}), with("block/put?mhlen=x", file{"b", "x", false}), get("block/put"), with("block/put"), with("block/put?format=v0", file{"b", "\x0a\x02\x08\x01", false}), with("block/put", file{"b", "one", false}, file{"c", "two", false}),
		with("block/put?pin=perhaps", file{"b", "x", false}), with("block/put", file{"b", strings.Repeat("0123456789abcdef", 2<<16+1), false}),
		with("dag/put", file{"d", `{"a":1}`, false}), with("dag/put?pin=true", file{"d", `{"b":2}`, false}), with("dag/put", file{"d", `{`, false}), with("dag/put?store-codec=dag-json", file{"d", `{"a":1}`, false}), with("dag/put?store-codec=bogus", file{"d", `{"a":1}`, false}),
		get("dag/put"), with("dag/put?pin=perhaps", file{"d", `{}`, false}), with("dag/put?hash=sha2-512", file{"d", `{"a":1}`, false}), with("dag/put?input-codec=bogus", file{"d", `{"a":1}`, false}),
		get("pin/ls?type=recursive&names=true"),
		get("dag/import"), with("dag/import", file{"c", "not a car", false}), with("dag/import", file{"c", car, false}), with("dag/import?stats=true", file{"c", car, false}), with("dag/import?pin-roots=false", file{"c", car, false}),
		with("dag/import?silent=true", file{"c", car, false}), with("dag/import?local-only=true", file{"c", car, false}), with("dag/import", file{"c", car[:60], false}), {request{path: "dag/import", files: []file{{"c", carWithout, false}}}, shape}, with("dag/import?pin-roots=perhaps", file{"c", car, false}),
		with("dag/import"), get("pin/ls?type=recursive"), get("pin/add?arg=" + world + "&timeout=50ms"),
	}
}

// forwarded are calls that go on to Kubo, and some that do not.
func forwarded() []comparison {
	return []comparison{
		get("cat?arg=" + hello), get("cat"), get("cat?arg=bogus"), get("cat?arg=" + hello + "&offset=2"), get("cat?arg=" + hello + "&length=3"), get("cat?arg=" + hello + "&offset=-1"), get("cat?arg=" + emptied), get("cat?offset=x&arg=" + hello),
		get("cat?arg=" + world + "&timeout=50ms"), get("cat/" + hello), get("ls?arg=" + rootOfD), get("ls"), get("ls?arg=" + rootOfD + "&stream=true"), get("ls?arg=" + hello), get("ls?arg=" + rootOfD + "/nothing"), get("ls?arg=" + rootOfD + "/b&resolve-type=false"),
		like(head, "get?arg="+hello), like(head, "get?arg="+rootOfD+"&archive=true"), like(head, "get?arg="+hello+"&compress=true&compression-level=3"), get("get"),
		get("refs?arg=" + rootOfD), get("refs?arg=" + rootOfD + "&recursive=true&unique=true"), get("refs?arg=" + world + "&recursive=true&offline=true"), get("refs?arg=" + rootOfD + "&edges=true"), get("refs?max-depth=x&arg=" + rootOfD), get("refs"),
		get("resolve?arg=/ipfs/" + rootOfD + "/b"), get("resolve?arg=bogus"), get("resolve"), get("resolve?arg=/ipfs/" + rootOfD + "/nothing"), get("name/resolve?arg=nobody.invalid&timeout=1s"),
		get("block/get?arg=" + hello), get("block/get?arg=bogus"), get("block/get"), get("block/stat?arg=" + hello), get("block/stat?arg=" + world + "&offline=true"),
		get("dag/get?arg=" + rootOfD), get("dag/get?arg=" + rootOfD + "&output-codec=dag-cbor"), get("dag/get?arg=" + hello + "&output-codec=bogus"), get("dag/get"), get("dag/stat?arg=" + rootOfD + "&progress=false"), get("dag/resolve?arg=" + rootOfD + "/b"), get("dag/export?arg=" + rootOfD),
		like(shape, "swarm/peers"), like(shape, "swarm/addrs"), like(shape, "swarm/addrs/local"), get("swarm/connect?arg=bogus"), get("swarm/connect"), like(shape, "stats/bw"), like(shape, "bitswap/stat"), like(shape, "repo/version"), like(shape, "commands"), get("cid/base32?arg=" + hello), get("cid/format?arg=" + hello + "&b=base64"), get("cid/codecs"), like(shape, "multibase/list"),
		get("files/ls"), get("files/ls?arg=/&long=true"), get("files/stat?arg=/"), get("files/mkdir?arg=/made"), get("files/mkdir?arg=/made"), get("files/cp?arg=/ipfs/" + hello + "&arg=/made/h"), get("files/read?arg=/made/h"), get("files/mv?arg=/made/h&arg=/made/i"),
		with("files/write?arg=/made/w&create=true", file{"w", "written", false}), get("files/read?arg=/made/w"), get("files/rm?arg=/made&recursive=true"), get("files/stat?arg=/made"), get("files/flush"), get("files/rm?arg=/nothing"),
		like(refused, "shutdown?x=1"), like(refused, "config/show"), like(refused, "config?arg=Datastore.StorageMax&arg=1MB"), like(refused, "key/list"), like(refused, "key/gen?arg=x"), like(refused, "p2p/ls"), like(refused, "bootstrap/rm/all"), like(refused, "name/publish?arg="+hello),
		like(refused, "diag/sys"), like(refused, "swarm/disconnect?arg=x"), like(refused, "block/rm?arg="+hello), like(refused, "nothing"), like(refused, "pin/nothing/more"), like(refused, "pubsub/ls"),
		{request: request{method: "GET", path: "id"}}, {request: request{method: "HEAD", path: "id"}}, {request: request{method: "PUT", path: "pin/ls"}}, {request: request{method: "OPTIONS", path: "id"}}, {request: request{method: "DELETE", path: "pin/rm?arg=" + hello}},
		like(refused, "/api/v0/id/../config/show"), like(refused, "/api/v0//config/show"), get("/api/v0/pin%2Fls?arg=" + rootOfD),
	}
}

// embedded are calls that the embedded node answers as Kubo would.
func embedded() []comparison {
	return []comparison{
		like(shape, "version"), like(shape, "id"),
		with("add?progress=true", file{"a.txt", "hello\n", false}), with("add", tree()...), with("add?cid-version=1", tree()...), with("add?only-hash=true", file{"a", "not kept", false}),
		with("add?wrap-with-directory=true", file{"x", "1", false}, file{"y", "2", false}), with("add?chunker=size-10", file{"a", strings.Repeat("chunks", 20), false}), with("add"), get("add"), with("add?silent=true", file{"a", "silent", false}),
		with("add?pin-name=called", file{"n", "named", false}), with("add?cid-version=two", file{"n", "named", false}),
		get("pin/ls?arg=" + hello), get("pin/ls?arg=" + rootOfD + "&type=recursive"), get("pin/ls?arg=" + world), get("pin/ls?type=bogus"), get("pin/ls?name=called&stream=true"), get("pin/ls?type=recursive"), get("pin/add?arg=" + childOfD), get("pin/add?arg=/ipfs/" + rootOfD + "/b"),
		like(shape, "pin/add?progress=true&arg="+hello), get("pin/add?arg=" + hello + "&recursive=false"), get("pin/rm?arg=" + childOfD), get("pin/rm?arg=" + world), get("pin/verify?verbose=true"), get("pin/update?arg=" + hello + "&arg=" + childOfD), get("pin/add?arg=bogus"), get("pin/add?arg=/ipfs/" + rootOfD + "/nothing"),
		get("cat?arg=" + childOfD), get("cat?arg=" + rootOfD), get("cat?arg=" + rootOfD + "/b/c.txt"), get("cat?arg=" + rootOfD + "/nothing"), get("cat"), get("cat?arg=bogus"), get("cat?arg=" + childOfD + "&offset=2"), get("cat?arg=" + childOfD + "&length=3"),
		get("cat?arg=" + childOfD + "&offset=-1"), get("cat?arg=" + childOfD + "&offset=100"), get("cat?arg=" + childOfD + "&arg=" + rootOfD + "/a.txt&offset=1&length=6"), get("cat?offset=x&arg=" + hello),
		get("ls?arg=" + rootOfD), get("ls?arg=" + rootOfD + "&stream=true"), get("ls?arg=/ipfs/" + rootOfD + "/b"), get("ls?arg=" + childOfD), get("ls?arg=" + rootOfD + "/nothing"), get("ls"), get("ls?arg=" + rootOfD + "&arg=" + rootOfD + "/b"),
		like(head, "get?arg="+childOfD), get("get"), get("get?arg=bogus"),
		get("refs?arg=" + rootOfD), get("refs?arg=" + rootOfD + "&recursive=true&unique=true"), get("refs?arg=" + rootOfD + "&edges=true&recursive=true"), get("refs?arg=" + rootOfD + "&recursive=true&max-depth=1"), get("refs?arg=" + rootOfD + "&edges=true&format=y"), get("refs"), get("refs?max-depth=x&arg=" + rootOfD), get("refs?arg=" + rootOfD + "&format=%3Csrc%3E%20%3Clinkname%3E"),
		get("resolve?arg=/ipfs/" + rootOfD + "/b"), get("resolve?arg=/ipfs/" + rootOfD + "/nothing"), get("resolve"),
		with("block/put", file{"b", "raw block", false}), with("block/put?mhtype=sha2-512&cid-codec=dag-cbor", file{"b", "\xa0", false}), with("block/put?mhtype=nothing", file{"b", "x", false}), get("block/put"), with("block/put?pin=true", file{"b", "pinned block", false}, file{"c", "another", false}),
		get("block/get?arg=" + childOfD), get("block/get"), get("block/get?arg=bogus"), get("block/stat?arg=" + rootOfD + "/b"), get("block/stat?arg=" + rootOfD + "&cid-base=base32"),
		get("dag/get?arg=" + rootOfD), get("dag/get?arg=" + childOfD), get("dag/get?arg=" + rootOfD + "&output-codec=dag-cbor"), get("dag/get?arg=" + rootOfD + "&output-codec=bogus"), get("dag/resolve?arg=" + rootOfD + "/b"), get("dag/stat?arg=" + rootOfD + "&progress=false"),
		get("swarm/peers"), like(shape, "swarm/addrs/local"), get("swarm/connect"), like(refused, "files/ls"), like(refused, "dag/export?arg="+hello), like(refused, "config/show"), like(shape, "repo/stat"), get("repo/gc?silent=true"),
	}
}
