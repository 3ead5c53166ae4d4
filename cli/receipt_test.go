package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/pinset"
)

// TestReceiptIsVerifiedWithoutADaemon takes the protocol's example, whole and
// changed, as file and from standard input.
func TestReceiptIsVerifiedWithoutADaemon(t *testing.T) {
	whole, err := os.ReadFile("../cluster/internal/receipt/testdata/receipt.json")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil || !bytes.Contains(page, whole) {
		t.Errorf("the protocol has another example, %v", err)
	}
	for _, tc := range []struct {
		name string
		doc  string
		code int
		says []string
	}{
		{"whole", string(whole), 0, []string{"bafkreibejhxk", "pinned as my archive", "held by 2 of 2 members, where 2 are needed", "peer1", "as the founder said", "on the issuer's word"}},
		{"changed", strings.Replace(string(whole), `"members": 2`, `"members": 3`, 1), 1, []string{"DOES NOT HOLD: what it says in the open is not what is signed"}},
		{"of another cluster", strings.Replace(string(whole), `"cluster": "bafyreia`, `"cluster": "bafyreib`, 1), 1, []string{"DOES NOT HOLD"}},
		{"cut", string(whole[:len(whole)/2]), 2, []string{"hint: it is what `pinfold receipt CID` printed"}},
		{"something else", "{}", 2, []string{"format"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "receipt.json")
			if err := os.WriteFile(file, []byte(tc.doc), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, from := range []string{file, "-"} {
				var out bytes.Buffer
				code := Run(t.Context(), []string{"pinfold", "--dir", t.TempDir(), "receipt", "verify", from}, Streams{In: strings.NewReader(tc.doc), Out: &out, Err: &out})
				if code != tc.code {
					t.Errorf("%s: exit code %d, want %d\n%s", from, code, tc.code, &out)
				}
				for _, want := range tc.says {
					if !strings.Contains(out.String(), want) {
						t.Errorf("%s: no %q in\n%s", from, want, &out)
					}
				}
			}
		})
	}
	if code := Run(t.Context(), []string{"pinfold", "receipt", "verify", "/nowhere"}, Streams{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}); code != pinset.KindInvalid.Info().Exit {
		t.Errorf("a file that is not there: exit code %d", code)
	}
}
