package ipfsclient_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

var update = flag.Bool("update", false, "write ipfsclienttest/golden.txt anew with a real ipfs add")

// The golden CIDs come from the command line that people use, on files that lie
// on a disk. Each tree is compared in one way, all in all with -update.
func TestGoldenCIDsAreWhatIpfsAddSays(t *testing.T) {
	kubo := kubotest.Init(t)
	golden := ipfsclienttest.Golden()
	var text strings.Builder
	text.WriteString("# tree variant root: by ipfs add of Kubo " + kubotest.Version + "; go test ./ipfsclient -run Golden -update\n")
	for i, tree := range ipfsclienttest.Trees() {
		dir := t.TempDir()
		dirs := tree.Make().Entries()
		dirs.Next()
		at := filepath.Join(dir, dirs.Name())
		if err := files.WriteTo(dirs.Node(), at); err != nil {
			t.Fatal(err)
		}
		for j, v := range ipfsclienttest.Variants() {
			if !*update && j != i%len(ipfsclienttest.Variants()) {
				continue
			}
			args := append([]string{"add", "-Q", "-r", "--only-hash"}, v.Flags...)
			got := strings.TrimSpace(kubo.Run(append(args, at)...))
			fmt.Fprintln(&text, tree.Name, v.Name, got)
			if want := golden[tree.Name+" "+v.Name].String(); got != want && !*update {
				t.Errorf("ipfs add %s %v: %s, golden %s", tree.Name, v.Flags, got, want)
			}
		}
	}
	if *update {
		if err := os.WriteFile("ipfsclienttest/golden.txt", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
