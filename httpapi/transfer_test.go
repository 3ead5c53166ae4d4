package httpapi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/pinset"
)

// exported is an export of some pins, as its lines.
func exported(t *testing.T, s *served, c *client.Client) []string {
	t.Helper()
	at := time.Unix(1e9, 0).UTC()
	for i := range 5 {
		p := pinset.Pin{CID: testCID(fmt.Sprint(i)), Name: fmt.Sprintf("nr \"%d\" <č>", i), Created: at}
		if i == 1 {
			p = pinset.Pin{CID: p.CID, Owner: "zoë", Mode: pinset.Direct, Replication: pinset.Replication{Min: -1, Max: -1}, Tags: []string{"eu"}, Include: []peer.ID{testPeer("bob")},
				Size: 7, Metadata: map[string]string{"pinfold_export_pins": "x", "k": "\n"}, Created: at, ExpireAt: at.AddDate(100, 0, 0)}
		}
		s.pins[p.Key()] = p
	}
	var lines []string
	for line, err := range c.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	if len(lines) != 7 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	return lines
}

func TestAnExportIsWhatItSays(t *testing.T) {
	s := serve(t, Config{})
	s.key = identitytest.Key(t, 1)
	c := client.New(s.socket, "")
	good := exported(t, s, c)
	change := func(i int, from, to string) []string {
		out := append([]string{}, good...)
		if out[i] = strings.Replace(out[i], from, to, 1); out[i] == good[i] {
			t.Fatalf("line %d has no %q: %s", i+1, from, good[i])
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		lines []string
		good  int
		bad   string // line: part of the error; "" none
	}{
		{"as it is", good, 5, ""},
		{"with empty lines", append([]string{good[0], "", " "}, good[1:]...), 5, ""},
		{"a pin was changed", change(3, "nr", "NR"), 5, "7: the export was changed"},
		{"a pin is missing", append(append([]string{}, good[:3]...), good[4:]...), 4, "6: the export was changed"},
		{"a pin came twice", append(append([]string{}, good[:3]...), good[2:]...), 5, "4: out of order"},
		{"cut off", good[:5], 4, "6: cut off"},
		{"cut off in a line", append(append([]string{}, good[:4]...), good[4][:40]), 3, "5: not a pin"},
		{"somebody else's name", change(0, `"home"`, `"away"`), 5, "1: signature"},
		{"another end", change(6, `pins":5`, `pins":4`), 5, "7: signature"},
		{"something follows", append(append([]string{}, good...), good[2]), 5, "8: follows"},
		{"from the future", change(0, `export":1`, `export":2`), 5, "1: version 2"},
	} {
		s.brought = nil
		out, err := c.Import(t.Context(), strings.NewReader(strings.Join(tc.lines, "\n")), pinset.ImportOptions{})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		got := ""
		if out.Bad > 0 {
			got = fmt.Sprintf("%d: %s", out.BadLines[0].Line, out.BadLines[0].Error)
		}
		at, part, _ := strings.Cut(tc.bad, ": ")
		if len(s.brought) != tc.good || (tc.bad == "") != (out.Bad == 0) || !strings.HasPrefix(got, at) || !strings.Contains(got, part) {
			t.Errorf("%s: %d pins, %q, want %d and %q", tc.name, len(s.brought), got, tc.good, tc.bad)
		}
		if out.Signed != (tc.bad == "" || tc.name == "something follows") || tc.bad == "" && (out.Source != "pinfold" || !out.Member || out.By != s.key.ID().String()) {
			t.Errorf("%s: %+v", tc.name, out)
		}
		for _, p := range s.brought {
			if was, same := s.pins[p.Key()]; tc.bad == "" && (!same || p.Name != was.Name || p.Owner != was.Owner || p.Metadata["k"] != was.Metadata["k"] || p.Size != was.Size) {
				t.Errorf("%s: %+v, was %+v", tc.name, p, was)
			}
		}
	}
}

// TestLinesThatAreWrongAreNamed: with their number, what is wrong, and its value.
func TestLinesThatAreWrongAreNamed(t *testing.T) {
	s := serve(t, Config{})
	s.key = identitytest.Key(t, 1)
	id := testCID("x").String()
	for _, tc := range []struct{ name, line, want string }{
		{"no JSON", "pin this", "not a pin"},
		{"no pin", `{"a":1}`, `unknown field "a"`},
		{"no cid", `{"name":"x"}`, "cid: missing"},
		{"a wrong cid", `{"cid":"bafyx"}`, `"bafyx"`},
		{"a wrong mode", `{"cid":"` + id + `","mode":"half"}`, `mode "half"`},
		{"a shard", `{"cid":"` + id + `","type":"shard-pin"}`, `type "shard-pin"`},
		{"a wrong peer", `{"cid":"` + id + `","user_allocations":["bob"]}`, "bob"},
		{"a wrong number of copies", `{"cid":"` + id + `","replication_factor_min":3,"replication_factor_max":2}`, "3..2"},
		{"a name that is too long", `{"cid":"` + id + `","name":"` + strings.Repeat("x", 201) + `"}`, "name of 201 bytes"},
		{"a line that is too long", `{"cid":"` + id + `","name":"` + strings.Repeat("x", maxLine) + `"}`, "a line of more than"},
	} {
		lines := fmt.Sprintf("{\"cid\":%q}\n%s\n{\"cid\":%q}\n", id, tc.line, id)
		s.brought = nil
		out, err := client.New(s.socket, "").Import(t.Context(), strings.NewReader(lines), pinset.ImportOptions{})
		if err != nil || out.Bad != 1 || out.BadLines[0].Line != 2 || !strings.Contains(out.BadLines[0].Error+out.BadLines[0].Value, tc.want) || len(s.brought) != 2 {
			t.Errorf("%s: %+v, %v, %d brought", tc.name, out, err, len(s.brought))
		}
	}
	many := bytes.Repeat([]byte("x\n"), 500)
	out, err := client.New(s.socket, "").Import(t.Context(), bytes.NewReader(many), pinset.ImportOptions{DryRun: true})
	if err != nil || out.Bad != 500 || len(out.BadLines) != pinset.MaxBadLines || !out.DryRun {
		t.Errorf("many wrong lines: %d, %d named, %v", out.Bad, len(out.BadLines), err)
	}
	if _, err := client.New(s.tcp, "pinner").Import(t.Context(), strings.NewReader(""), pinset.ImportOptions{}); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("with the scope pin: %v", err)
	}
}
