package cli

import (
	"strings"
	"testing"

	"github.com/pinfold/pinfold/cli/internal/typed"
)

func TestFlagsMayStandBehindArguments(t *testing.T) {
	a := app(Streams{})
	for _, tc := range []struct{ in, want string }{
		{"pinfold", "pinfold"},
		{"pinfold status --json", "pinfold --json status"},
		{"pinfold pin add CID --name N --replication 2", "pinfold pin add --name N --replication 2 CID"},
		{"pinfold pin add A B --direct C", "pinfold pin add --direct A B C"},
		{"pinfold pin add CID --replication -1", "pinfold pin add --replication -1 CID"},
		{"pinfold pin add CID --name=N --dir D", "pinfold --dir D pin add --name=N CID"},
		{"pinfold get CID -o out", "pinfold get -o out CID"},
		{"pinfold add -r dir -w --cid-version 1", "pinfold add -r -w --cid-version 1 dir"},
		{"pinfold add -Qrw dir", "pinfold add -Q -r -w dir"},
		{"pinfold get CID -o=out", "pinfold get -o=out CID"},
		{"pinfold add -Qx dir", "pinfold add -Qx dir"},
		{"pinfold give -5GB", "pinfold give -- -5GB"},
		{"pinfold add - --name x", "pinfold add --name x -"},
		{"pinfold --dir D testnet --peers 3", "pinfold --dir D testnet --peers 3"},
		{"pinfold testnet cut p1,p2 p3 --in D", "pinfold testnet cut --in D p1,p2 p3"},
		{"pinfold add -- -odd-name", "pinfold add -- -odd-name"},
		{"pinfold pin rm add", "pinfold pin rm add"},
		{"pinfold status --no-such CID", "pinfold status --no-such CID"},
	} {
		if got := strings.Join(typed.Order(a, strings.Fields(tc.in)), " "); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
}
