package httpproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// invocation is one of Kubo's command line, at a Kubo and at the proxy. Words are
// separated by spaces.
type invocation struct {
	args  string
	stdin string
	loose bool // the output has what differs from node to node: only its shape counts
}

// TestKubosCommandLine runs `ipfs --api` against a Kubo and against the proxy.
func TestKubosCommandLine(t *testing.T) {
	bin, ref := kubotest.Binary(t), kubotest.Start(t)
	p := startPeer(t, kubotest.Start(t))
	ask(t, url(t, ref), request{path: "pin/rm?arg=" + emptied}) // a new repository pins it
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": "hello\n", "d/a.txt": "hello\n", "d/b/c.txt": "deep\n", "d/.hidden": "h\n", "big": strings.Repeat("0123456789abcdef", 40000), "o.json": `{"a":[1,2]}`, "c.car": car} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(api string, in invocation) (code int, stdout, stderr string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, append([]string{"--api", api}, strings.Fields(in.args)...)...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(in.stdin)
		cmd.Env = append(os.Environ(), "IPFS_PATH="+filepath.Join(dir, "none"), "IPFS_TELEMETRY=off")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}
	all := invocations()
	if len(all) < 80 {
		t.Fatalf("%d invocations", len(all))
	}
	at := "/ip4/127.0.0.1/tcp/" + p.api[strings.LastIndexByte(p.api, ':')+1:]
	for i, in := range all {
		t.Run(fmt.Sprintf("%02d %s", i, in.args), func(t *testing.T) {
			code, stdout, stderr := run(ref.API, in)
			gotCode, gotOut, gotErr := run(at, in)
			if in.loose {
				stdout, gotOut = loosened(stdout), loosened(gotOut)
			}
			if code != gotCode || sorted(stdout) != sorted(gotOut) || loosened(stderr) != loosened(gotErr) {
				t.Errorf("Kubo:  %d %q %q\nproxy: %d %q %q", code, cut(stdout), cut(stderr), gotCode, cut(gotOut), cut(gotErr))
			}
		})
	}
}

// loosened replaces what is a node's own: numbers, ids, addresses, paths.
func loosened(text string) string {
	text = regexp.MustCompile(`\s*"?Pinfold"?.*`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`12D3\w+|CAES[\w+/=]+`).ReplaceAllString(text, "ID")
	text = regexp.MustCompile(`/\S+`).ReplaceAllString(text, "/…")
	text = regexp.MustCompile(`\b(baf|Qm)\w{40,}`).ReplaceAllString(text, "CID")
	text = regexp.MustCompile(`[0-9]+(\.[0-9]+)?( ?[kMGT]?i?B)?`).ReplaceAllString(text, "0")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.Compact(lines), "\n")
}

func invocations() []invocation {
	do := func(args ...string) (out []invocation) {
		for _, a := range args {
			out = append(out, invocation{args: a})
		}
		return out
	}
	loose := func(args ...string) (out []invocation) {
		for _, in := range do(args...) {
			in.loose = true
			out = append(out, in)
		}
		return out
	}
	return slices.Concat(
		loose("version", "version --all", "id", "id -f <id>", "repo stat", "repo stat --size-only", "swarm peers", "swarm addrs local", "stats repo", "repo version", "bitswap stat"),
		do("add a.txt", "add -q a.txt", "add -Q -r d", "add -r d", "add -r -H d", "add -w a.txt", "add -n a.txt", "add --cid-version=1 -r d", "add --pin=false big", "add --pin-name=called big",
			"add --chunker=size-1000 -q big", "add --hash=blake3 a.txt", "add --trickle big", "add --inline a.txt", "add --chunker=bogus a.txt", "add --to-files=/kept a.txt", "add nothing-there", "add a.txt big", "add --progress=false big"),
		[]invocation{{args: "add", stdin: "from stdin\n"}, {args: "add -q --cid-version=1", stdin: "from stdin\n"}, {args: "add --stdin-name=named -w", stdin: "from stdin\n"}},
		do("pin ls", "pin ls -q", "pin ls --type=recursive", "pin ls --type=direct", "pin ls --type=indirect", "pin ls --names --type=recursive", "pin ls --stream --type=recursive", "pin ls --name=called", "pin ls "+hello, "pin ls /ipfs/"+hello,
			"pin ls "+world, "pin ls "+hello+" "+rootOfD, "pin ls --type=bogus", "pin ls nonsense",
			"pin add "+hello, "pin add "+hello+" "+rootOfD, "pin add --name=new "+hello, "pin ls --names "+hello, "pin add --recursive=false "+hello, "pin add nonsense", "pin add --progress=false /ipfs/"+rootOfD+"/b", "pin add",
			"pin rm "+hello, "pin rm "+hello, "pin rm --recursive=false "+rootOfD, "pin add --recursive=false "+hello, "pin ls --type=direct", "pin rm --recursive=false "+hello, "pin rm "+world,
			"pin update "+rootOfD+" "+hello, "pin update "+world+" "+hello, "pin verify", "pin verify --verbose", "pin verify --verbose --quiet"),
		[]invocation{{args: "pin add", stdin: hello + "\n" + childOfD + "\n"}, {args: "pin rm", stdin: hello + "\n"}},
		do("cat "+hello, "cat "+rootOfD, "cat "+rootOfD+"/b/c.txt", "cat -o 2 -l 3 "+hello, "cat nonsense", "ls "+rootOfD, "ls -v "+rootOfD, "ls "+rootOfD+"/b", "ls --stream "+rootOfD, "ls "+rootOfD+"/nothing", "refs -r "+rootOfD, "refs -u --edges -r "+rootOfD,
			"resolve /ipfs/"+rootOfD+"/b", "resolve nonsense", "get -o got "+rootOfD, "get -a -o got.tar "+rootOfD, "block get "+hello, "block stat "+hello, "dag get "+rootOfD, "dag stat --progress=false "+rootOfD, "dag resolve "+rootOfD+"/b", "dag export --progress=false "+hello,
			"dag put o.json", "dag put --pin o.json", "dag import c.car", "dag import --stats c.car", "dag import --pin-roots=false c.car", "dag import a.txt", "pin ls --type=recursive", "block put a.txt", "block put --pin big", "block put --mhtype=bogus a.txt",
			"files ls", "files mkdir /x", "files cp /ipfs/"+hello+" /x/h", "files ls -l /x", "files read /x/h", "files stat /x", "files rm -r /x", "files read /x/h", "cid base32 "+hello, "repo gc --silent", "name resolve --timeout=1s nobody"),
		loose("repo gc -q", "repo gc"),
	)
}
