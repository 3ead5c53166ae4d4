package kv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// TestStoresAgree is the suite that every kind of store passes: random batches,
// reads and scans against a map, across reopening.
func TestStoresAgree(t *testing.T) {
	for _, kind := range []string{Memory, Badger, Pebble} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			db, err := Open(kind, dir)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewSource(1))
			want := map[string][]byte{}
			for round := range 60 {
				apply(t, db, rng, want)
				compare(t, db, rng, want)
				if round%20 != 19 || kind == Memory {
					continue
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				if db, err = Open(kind, dir); err != nil {
					t.Fatal(err)
				}
				compare(t, db, rng, want)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func randomKey(rng *rand.Rand) []byte {
	// Binary keys, among them some that end in a slash or hold dots.
	return append([]byte{byte('a' + rng.Intn(3))}, []string{"/", "..", "\x00", "\xff\xff", "x", ""}[rng.Intn(6)]+fmt.Sprint(rng.Intn(40))...)
}

func apply(t *testing.T, db DB, rng *rand.Rand, want map[string][]byte) {
	var b Batch
	for range rng.Intn(200) {
		k := randomKey(rng)
		if rng.Intn(4) == 0 {
			b.Delete(k)
			delete(want, string(k))
			continue
		}
		v := make([]byte, rng.Intn(3000))
		rng.Read(v)
		b.Put(k, v)
		want[string(k)] = v
	}
	if err := db.Apply(&b, rng.Intn(2) == 0); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, db DB, rng *rand.Rand, want map[string][]byte) {
	t.Helper()
	for range 20 {
		k := randomKey(rng)
		v, err := db.Get(k)
		w, ok := want[string(k)]
		if ok && (err != nil || !bytes.Equal(v, w)) || !ok && !errors.Is(err, ErrNotFound) {
			t.Fatalf("get %q: %d bytes, %v; want %d bytes, %v", k, len(v), err, len(w), ok)
		}
	}
	from, to := randomKey(rng), randomKey(rng)
	for _, r := range [][2][]byte{{from, to}, {[]byte("b"), After([]byte("b"))}, {[]byte("a"), []byte("z")}} {
		var keys, got []string
		for k := range want {
			if k >= string(r[0]) && k < string(r[1]) {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		stop := rng.Intn(30)
		err := db.Scan(r[0], r[1], func(k, v []byte) bool {
			if !bytes.Equal(v, want[string(k)]) {
				t.Fatalf("scan: value of %q", k)
			}
			got = append(got, string(k))
			return len(got) < stop
		})
		if stop == 0 {
			stop = 1
		}
		if keys = keys[:min(len(keys), stop)]; err != nil || !slices.Equal(keys, got) {
			t.Fatalf("scan %q to %q: %q, %v; want %q", r[0], r[1], got, err, keys)
		}
	}
}

// Who reads while others write sees whole batches, and after Apply its batch.
func TestReadersBesideAWriter(t *testing.T) {
	for _, kind := range []string{Memory, Badger, Pebble} {
		t.Run(kind, func(t *testing.T) {
			db, err := Open(kind, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			put := func(v byte) {
				var b Batch
				b.Put([]byte("a"), []byte{v})
				b.Put([]byte("b"), []byte{v})
				if err := db.Apply(&b, false); err != nil {
					t.Error(err)
				}
			}
			put(0)
			var done atomic.Bool
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					last := byte(0)
					for !done.Load() {
						var seen []byte
						if err := db.Scan([]byte("a"), []byte("c"), func(_, v []byte) bool { seen = append(seen, v...); return true }); err != nil {
							t.Error(err)
						}
						if len(seen) != 2 || seen[0] != seen[1] || seen[0] < last {
							t.Errorf("read %v after %d", seen, last)
							return
						}
						last = seen[0]
					}
				})
			}
			for v := byte(1); v < 200; v++ {
				put(v)
				if got, err := db.Get([]byte("b")); err != nil || got[0] != v {
					t.Errorf("read %v, %v after %d was written", got, err, v)
				}
			}
			done.Store(true)
			readers.Wait()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAfter(t *testing.T) {
	for _, tc := range []struct{ in, want string }{{"a", "b"}, {"a\xff", "b"}, {"ab", "ac"}, {"\xff", ""}} {
		if got := After([]byte(tc.in)); string(got) != tc.want {
			t.Errorf("After(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}
