package cli

import (
	"bytes"
	"testing"
)

func TestARowStaysOneLine(t *testing.T) {
	var out bytes.Buffer
	tab := newTable(&out, "NAME", "NOTE")
	tab.row("bob", "all dials failed\n  * [/ip4/127.0.0.1/tcp/1] refused")
	tab.row("a longer name", "")
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	const want = "NAME           NOTE\nbob            all dials failed   * [/ip4/127.0.0.1/tcp/1] refused\na longer name  -\n"
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}
