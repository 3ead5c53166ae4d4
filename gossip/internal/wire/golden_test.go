package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/pinfold/pinfold/canon"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds the form of everything that travels: a peer of an older version
// must go on reading it.
func TestGolden(t *testing.T) {
	digest := bytes.Repeat([]byte{0xd1}, 32)
	greeting := Greeting{Number: 1_700_000_000_000_000, Heads: [][]byte{cidFor("head")}, Count: 2, Digest: digest, Height: 3, Blocks: 4, Seq: 5, Addrs: []byte("signed peer record")}
	for name, v := range map[string]any{
		"heartbeat":    Message{Greeting: &greeting},
		"announcement": Message{Heads: [][]byte{cidFor("head")}, Blocks: [][]byte{[]byte("a delta")}},
		"statement":    Message{Statement: []byte("a statement")},
		"exchange":     Request{Greeting: greeting, Seqs: []Seq{{Peer: []byte("a peer"), Seq: 6}}, Talk: true, Book: true},
		"transfer":     Request{Greeting: Greeting{Digest: digest}, Want: [][]byte{cidFor("want")}, Have: [][]byte{cidFor("have")}},
		"answer":       Answer{Greeting: greeting, Statements: [][]byte{[]byte("a statement")}, Book: [][]byte{[]byte("signed peer record")}},
		"refusal":      Answer{Refused: "busy", Greeting: Greeting{}},
		"knock":        Knock{Cluster: "bafy", Record: []byte("a sealed record")},
		"welcome":      Welcome{Founding: []byte("a founding record"), Book: [][]byte{[]byte("signed peer record")}},
	} {
		b, err := canon.Marshal(v)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := canon.Check(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b) + "\n"; got != string(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestFieldsOfNewerPeersAreIgnored(t *testing.T) {
	b, err := canon.Marshal(map[string]any{"g": map[string]any{"n": uint64(1), "h": []any{}, "c": uint64(0), "d": make([]byte, 32), "new": "x"}, "newer": []any{uint64(1)}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode[Message](b)
	if err != nil || m.Greeting == nil || m.Greeting.Number != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
}
