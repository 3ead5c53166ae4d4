package merge

import (
	"bytes"
	"math/rand"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"
)

func someCID(rng *rand.Rand) cid.Cid {
	data := make([]byte, rng.Intn(40))
	rng.Read(data)
	codes := []uint64{multihash.SHA2_256, multihash.SHA2_512, multihash.IDENTITY, multihash.SHA1}
	mh, err := multihash.Sum(data, codes[rng.Intn(len(codes))], -1)
	if err != nil {
		panic(err)
	}
	codecs := []uint64{cid.Raw, cid.DagProtobuf, cid.DagCBOR, 0x300000}
	return cid.NewCidV1(codecs[rng.Intn(len(codecs))], mh)
}

func TestCodesKeepTheOrderOfTheText(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	var keys []string
	for range 2000 {
		s, _ := someCID(rng).StringOfBase(multibase.Base32)
		for _, owner := range []string{"-", "oaa", "oaaa"} {
			keys = append(keys, "/p/"+s+"/"+owner)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var last []byte
	for _, k := range keys {
		b, err := code(k)
		if err != nil {
			t.Fatal(k, err)
		}
		if bytes.Compare(last, b) >= 0 {
			t.Fatalf("code of %s does not sort after the one before", k)
		}
		last = b
		if back, err := text(b); err != nil || back != k {
			t.Fatalf("text(code(%s)) = %s, %v", k, back, err)
		}
	}
}

func TestCodesOfOtherKeys(t *testing.T) {
	s, _ := someCID(rand.New(rand.NewSource(2))).StringOfBase(multibase.Base32)
	for _, k := range []string{"/s/" + s, "/m/12D3KooW", "/c/policy", "/f/x"} {
		b, err := code(k)
		if err != nil {
			t.Fatal(k, err)
		}
		if back, err := text(b); err != nil || back != k {
			t.Errorf("text(code(%s)) = %s, %v", k, back, err)
		}
	}
	for _, k := range []string{"/p/bafy", "/p/BAFY/-", "/p/zabc/-", "/s/b1"} {
		if b, err := code(k); err == nil {
			if back, err := text(b); err == nil && back == k {
				t.Errorf("code(%s) = %x: want an error", k, b)
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("kpabc"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = text(b) })
}
