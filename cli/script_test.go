package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// TestMain makes this binary the program when a script runs it by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pinfold": func() { os.Exit(Main()) }})
}

// scriptPatience is how long a script waits for what comes, on a busy machine.
const scriptPatience = 2 * time.Minute

// TestScripts runs the program as people do, against real daemons with embedded IPFS
// nodes: wording, exit codes and --json of the commands. Beside testscript's own
// commands there are
//
//	exit CODE ARG...      runs pinfold, which must end with this code
//	until TEXT ARG...     runs pinfold again and again until it prints the text
//	keep NAME             puts what the last command printed into a variable
//
// $P is a directory for peers, whose sockets' paths must be short.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts daemons: not with -short")
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("PINFOLD_UPDATE_SCRIPTS") != "",
		Setup:         func(e *testscript.Env) error { return setUpScript(t, e) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": exits,
			"keep": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
			},
			"until": func(ts *testscript.TestScript, _ bool, args []string) {
				kubotest.Eventually(t, scriptPatience, strings.Join(args, " "), func() error {
					err := ts.Exec("pinfold", args[1:]...)
					if out := ts.ReadFile("stdout"); !strings.Contains(out, args[0]) {
						return errors.Join(err, fmt.Errorf("it prints %q and %q", out, ts.ReadFile("stderr")))
					}
					return nil
				})
			},
		},
	})
}

// setUpScript makes peers take no port that somebody else may have, and see no Kubo.
// The directory goes when all scripts and so their daemons have ended.
func setUpScript(t *testing.T, e *testscript.Env) error {
	dir, err := os.MkdirTemp("", "pf")
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, value := range map[string]string{
		"HOME": dir, "P": dir, "IPFS_PATH": filepath.Join(dir, "none"),
		"PINFOLD_NETWORK_LISTEN": "/ip4/127.0.0.1/tcp/0", "PINFOLD_IPFS_LISTEN": "/ip4/127.0.0.1/tcp/0",
		"PINFOLD_IPFS_NODE": "embedded", "PINFOLD_API_LISTEN": "", "PINFOLD_PROXY_LISTEN": "",
		"PINFOLD_NETWORK_MDNS": "false", "PINFOLD_NETWORK_PORT_MAP": "false", "PINFOLD_NETWORK_HEARTBEAT": "1s",
		"PINFOLD_TRACKER_RESERVE": "0B", "PINFOLD_GIVE": "1GB",
	} {
		e.Setenv(name, value)
	}
	return nil
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var ended *exec.ExitError
	if err := ts.Exec("pinfold", args[1:]...); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		ts.Fatalf("pinfold: %v", err)
	}
	if code != want {
		ts.Fatalf("pinfold %s: exit code %d, want %d", strings.Join(args[1:], " "), code, want)
	}
}
