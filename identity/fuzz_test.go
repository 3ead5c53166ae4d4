package identity_test

import (
	"bytes"
	"testing"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

// The fuzzers hold that a decoder never panics and that what it accepts has one
// encoding.

func FuzzParseFounding(f *testing.F) {
	f.Add(identitytest.New(f, 1).Founding.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := identity.ParseFounding(b)
		if err == nil && !bytes.Equal(got.Marshal(), b) {
			t.Fatalf("%x encodes again as %x", b, got.Marshal())
		}
	})
}

func FuzzOpenRecord(f *testing.F) {
	c := identitytest.New(f, 3)
	f.Add(c.Seal(1, c.Record(1)))
	f.Add(c.Seal(1, fullRecord(c)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := identity.OpenRecord(c.Founding.ID(), b)
		if err != nil {
			return
		}
		if again, err := r.Seal(c.Keys[1], c.Founding.ID()); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %x: %v", b, err)
		}
	})
}

// FuzzRecordPayload looks behind the signature, which a fuzzer cannot make.
func FuzzRecordPayload(f *testing.F) {
	c := identitytest.New(f, 3)
	for _, r := range []identity.Record{c.Record(1), fullRecord(c)} {
		_, payload, err := identity.Unseal("member", c.Founding.ID(), c.Seal(1, r))
		f.Add(must(f, payload, err))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		value, err := identity.Seal(c.Keys[1], "member", c.Founding.ID(), payload)
		if err != nil {
			t.Skip()
		}
		r, err := identity.OpenRecord(c.Founding.ID(), value)
		if err != nil {
			return
		}
		if again, err := r.Seal(c.Keys[1], c.Founding.ID()); err != nil || !bytes.Equal(again, value) {
			t.Fatalf("accepted a second encoding %x: %v", payload, err)
		}
	})
}

func FuzzDecodePolicy(f *testing.F) {
	f.Add(must1(identity.DefaultPolicy().Encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := identity.DecodePolicy(b)
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x encodes again as %x, %v", b, again, err)
		}
	})
}

// FuzzControl gives Check and With any element under any control key: both must
// hold, and what Check admits With must count or pass over without a panic.
func FuzzControl(f *testing.F) {
	c := identitytest.New(f, 4)
	f.Add(identity.RoleKey(c.ID(1)), must1(identity.RoleAdmin.Encode()))
	f.Add(identity.FormatKey, must1(identity.EncodeFormat(2)))
	f.Add(identity.SecretKey, must1(identity.EncodeSecret(1, c.Secret)))
	f.Add(identity.RemovalKey(c.ID(1), 0, c.ID(0)), must1(identity.CauseAdmin.Encode()))
	f.Add(identity.MemberKey(c.ID(0)), c.Seal(0, c.Record(0)))
	a := c.Authority(4)
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		err := a.Check(c.ID(0), []identity.Element{{Key: key, Value: value}})
		b := a.With(identity.Entry{Author: c.ID(0), Seq: 9, Priority: 9, Key: key, Value: value})
		if err == nil && identity.IsControl(key) && b.Digest() == a.Digest() {
			t.Fatalf("%s %x: admitted and passed over", key, value)
		}
	})
}
