package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// filled is a rig of members that lend so many GB each, with pins of 1 GB.
func filled(t *testing.T, pins int, lent ...uint64) *rig {
	t.Helper()
	r := newRigWith(t, len(lent), identity.DefaultPolicy(), func(i int, rec *identity.Record) { rec.Lent = lent[i] * 1e9 })
	for i := range pins {
		r.peers[0].pin(pinset.Pin{CID: cidN(i), Size: 1e9})
	}
	return r
}

// moved adds up what a plan says of members.
func moved(o pinset.Outlook) (in, out pinset.Amount) {
	for _, m := range o.Members {
		in.Copies, in.Bytes = in.Copies+m.In.Copies, in.Bytes+m.In.Bytes
		out.Copies, out.Bytes = out.Copies+m.Out.Copies, out.Bytes+m.Out.Bytes
	}
	return in, out
}

func prospectOf(t *testing.T, o pinset.Outlook, name string) pinset.Prospect {
	t.Helper()
	i := slices.IndexFunc(o.Members, func(p pinset.Prospect) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("%s is not in %+v", name, o.Members)
	}
	return o.Members[i]
}

// TestAPlanIsWhatHappens: the numbers are those of the allocation before and
// after the same change in earnest.
func TestAPlanIsWhatHappens(t *testing.T) {
	const pins = 120
	r := filled(t, pins, 1000, 1000, 2000, 4000)
	p := r.peers[0]
	before := map[string]int{}
	for i := range pins {
		for _, id := range p.Allocate(pinset.Pin{CID: cidN(i), Size: 1e9}) {
			m, _ := r.log.authority.Member(id)
			before[m.Name]++
		}
	}
	o, err := p.Outlook(t.Context(), []string{"give:peer1=1.5TB"})
	if err != nil {
		t.Fatal(err)
	}
	if rec, _ := r.log.authority.Member(r.ids.ID(1)); rec.Lent != 1e12 {
		t.Fatalf("planning changed the record: %+v", rec)
	}
	rec := r.ids.Record(1)
	rec.Lent, rec.Seq = 15e11, 2
	if _, err := r.log.commit(r.ids.ID(1), Op{Key: identity.MemberKey(rec.Peer), Value: r.ids.Seal(1, rec)}); err != nil {
		t.Fatal(err)
	}
	after := map[string]int{}
	for i := range pins {
		for _, id := range p.Allocate(pinset.Pin{CID: cidN(i), Size: 1e9}) {
			m, _ := r.log.authority.Member(id)
			after[m.Name]++
		}
	}
	for i := range r.peers {
		name := fmt.Sprintf("peer%d", i)
		m := prospectOf(t, o, name)
		if int(m.Before.Copies) != before[name] || int(m.After.Copies) != after[name] || m.After.Bytes != uint64(after[name])*1e9 {
			t.Errorf("%s: %+v, want %d copies before and %d after", name, m, before[name], after[name])
		}
	}
	if in, out := moved(o); in != o.Moved || in != out || o.Moved.Copies == 0 || o.Least.Copies > o.Moved.Copies {
		t.Errorf("moved %+v, at members in %+v, out %+v, least %+v", o.Moved, in, out, o.Least)
	}
	if m := prospectOf(t, o, "peer1"); m.Lent != (pinset.BeforeAfter{Before: 1e12, After: 15e11}) {
		t.Errorf("peer1 lends %+v", m.Lent)
	}
	if o.Pins != pins || o.Bytes != pins*1e9 || o.Unsized != 0 || o.Thin != 0 {
		t.Errorf("%+v", o)
	}
}

func TestPlansOfEachKind(t *testing.T) {
	for _, tc := range []struct {
		ifs   []string
		check func(t *testing.T, o pinset.Outlook)
	}{
		{nil, func(t *testing.T, o pinset.Outlook) {
			if o.Moved.Copies != 0 || len(o.Usable) != 4 || o.Usable[0].Bytes.After>>30 != 8000e9>>30 {
				t.Errorf("%+v", o)
			}
		}},
		{[]string{"join:2TB@home3"}, func(t *testing.T, o pinset.Outlook) {
			m := prospectOf(t, o, "joiner 1")
			if m.Peer != "" || m.Site != "home3" || m.Note != "joins" || m.Lent.After != 2e12 || m.In.Copies == 0 || m.Before.Copies != 0 || o.Thin != 0 {
				t.Errorf("%+v", m)
			}
		}},
		{[]string{"leave:peer3"}, func(t *testing.T, o pinset.Outlook) {
			m := prospectOf(t, o, "peer3")
			if m.Note != "leaves" || m.After.Copies != 0 || m.Out != m.Before || m.Lent.After != 0 || o.Short.After != 0 || o.Usable[1].Bytes.After >= o.Usable[1].Bytes.Before {
				t.Errorf("%+v %+v", m, o.Usable)
			}
		}},
		{[]string{"drain:peer3"}, func(t *testing.T, o pinset.Outlook) {
			if m := prospectOf(t, o, "peer3"); m.Note != "draining" || m.After.Copies != 0 || o.Thin != 0 {
				t.Errorf("%+v, %d thin", m, o.Thin)
			}
		}},
		{[]string{"replication=1", "leave:peer3"}, func(t *testing.T, o pinset.Outlook) {
			if o.Lost != 0 || o.Short.After != 0 {
				t.Errorf("%d lost, %+v short: they had more copies than one", o.Lost, o.Short)
			}
		}},
		{[]string{"replication=4"}, func(t *testing.T, o pinset.Outlook) {
			if o.Moved.Copies != 40 || o.Thin != 40 || prospectOf(t, o, "peer0").After.Copies != 40 {
				t.Errorf("%+v", o)
			}
		}},
		{[]string{"replication=7"}, func(t *testing.T, o pinset.Outlook) {
			if o.Short.After != 40 || len(o.Below) != 40 || o.Below[0].Short != 3 || o.Below[0].CID != cidN(0).String() && !strings.HasPrefix(o.Below[0].CID, "b") || o.Below[0].Reason == "" {
				t.Errorf("%+v", o)
			}
		}},
		{[]string{"give:peer3=10GB"}, func(t *testing.T, o pinset.Outlook) {
			if m := prospectOf(t, o, "peer3"); m.Out.Copies == 0 {
				t.Errorf("%+v", m)
			}
		}},
		{[]string{"mirror:peer0=peer3"}, func(t *testing.T, o pinset.Outlook) {
			if m := prospectOf(t, o, "peer0"); m.Note != "mirror" || m.After.Copies != prospectOf(t, o, "peer3").After.Copies {
				t.Errorf("%+v", o.Members)
			}
		}},
		{[]string{"mirror:peer0=*"}, func(t *testing.T, o pinset.Outlook) {
			if m := prospectOf(t, o, "peer0"); m.After.Copies != 40 {
				t.Errorf("%+v", m)
			}
		}},
	} {
		r := filled(t, 40, 1000, 1000, 2000, 4000)
		o, err := r.peers[0].Outlook(t.Context(), tc.ifs)
		if err != nil {
			t.Errorf("%v: %v", tc.ifs, err)
			continue
		}
		t.Run(strings.Join(tc.ifs, " "), func(t *testing.T) { tc.check(t, o) })
	}
}

func TestAPlanWarns(t *testing.T) {
	r := newRigWith(t, 3, identity.DefaultPolicy(), func(i int, rec *identity.Record) {
		rec.Domains, rec.Lent = []string{"fr", "home" + fmt.Sprint(i)}, 100e9
	})
	p := r.peers[0]
	for i := range 60 {
		p.pin(pinset.Pin{CID: cidN(i), Size: 1e9})
	}
	for ifs, want := range map[string]string{
		"join:1TB@hoem1":  "did you mean home1",
		"join:1TB@rf/new": "",
		"give:peer1=20GB": "peer1 would be assigned 60 GB and lends 20 GB",
	} {
		o, err := p.Outlook(t.Context(), []string{ifs})
		if err != nil || want != "" && !strings.Contains(strings.Join(o.Warnings, "; "), want) || want == "" && len(o.Warnings) > 0 {
			t.Errorf("%s: warnings %q, %v, want one that says %q", ifs, o.Warnings, err, want)
		}
	}
	o, err := p.Outlook(t.Context(), []string{"join:1TB@home1"})
	if err != nil || prospectOf(t, o, "joiner 1").Site != "fr/home1" {
		t.Errorf("who joins at a known home stands at %+v, %v", prospectOf(t, o, "joiner 1"), err)
	}
}

func TestWhatCannotBePlanned(t *testing.T) {
	p := newRig(t, 3).peers[0]
	for ifs, want := range map[string]string{
		"jion:2TB":                   `"jion:2TB"`,
		"join":                       "join:SIZE[@HOME]",
		"join:":                      "join:SIZE[@HOME]",
		"join:2":                     "at least 1 MiB",
		"join:-2TB":                  `"-2TB"`,
		"join:2TB@":                  `home ""`,
		"join:2TB@a//b":              `home "a//b"`,
		"leave:peer7":                `"peer7"`,
		"leave:peer1,leave:peer1":    "leaves already",
		"give:peer1":                 "give:NAME=SIZE",
		"give:peer1=many":            `"many"`,
		"give:peer9=1TB":             `"peer9"`,
		"mirror:peer1":               "mirror:NAME=OTHER",
		"mirror:peer1=peer8":         `"peer8"`,
		"replication=0":              "a number from 1",
		"replication=3..2":           `"3..2"`,
		"replication=two":            `"two"`,
		"replication=99999999":       `"99999999"`,
		"leave:peer1,give:peer1=1TB": "leaves already",
		"":                           `--if ""`,
	} {
		_, err := p.Outlook(t.Context(), strings.Split(ifs, ","))
		if k := pinset.KindOf(err); k != pinset.KindInvalid && k != pinset.KindNotFound || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(fmt.Sprint(err), "--if") {
			t.Errorf("%q: %v, want it refused with %q", ifs, err, want)
		}
	}
	if _, err := p.Outlook(t.Context(), []string{"jion:2TB"}); pinset.HintOf(err) != "did you mean join?" {
		t.Errorf("hint %q", pinset.HintOf(err))
	}
}
