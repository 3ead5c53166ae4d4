package budget

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // so that the places below are known on every machine
)

func place(t testing.TB, name string) *time.Location {
	t.Helper()
	in, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestParseSchedule(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"22:00-07:00", "22:00-07:00"},
		{" 7:30 - 8:00 ,22:00-24:00", "07:30-08:00,22:00-24:00"},
		{"12:00-13:30,01:00-05:00", "01:00-05:00,12:00-13:30"},
		{"0:00-24:00", "00:00-24:00"},
	} {
		s, err := ParseSchedule(tc.in)
		if err != nil || s.String() != tc.want {
			t.Errorf("%q: %q, %v; want %q", tc.in, s, err, tc.want)
		}
		if again, err := ParseSchedule(s.String()); err != nil || again.String() != s.String() {
			t.Errorf("%q read again: %q, %v", s, again, err)
		}
	}
	for _, bad := range []string{"22", "22:00", "22:00-22:00", "24:00-01:00", "22:60-23:00", "25:00-07:00", "22:00-7", "-", ",", "22:00-07:00,",
		"22:00–07:00", "-1:00-02:00", "22:00-07:00-08:00", strings.Repeat("01:00-02:00,", 24) + "01:00-02:00", "10pm-7am", "001:00-02:00", "1:0-2:00"} {
		if s, err := ParseSchedule(bad); err == nil || !strings.Contains(err.Error(), "schedule") {
			t.Errorf("%q: %q, %v; want an error", bad, s, err)
		}
	}
}

func TestScheduleOverTheClocks(t *testing.T) {
	berlin := place(t, "Europe/Berlin") // forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00
	at := func(text string) time.Time {
		u, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return u.In(berlin)
	}
	for _, tc := range []struct {
		name, windows, now string
		open               bool
		next               string // "": never
	}{
		{"always", "", "2026-01-10T12:00:00+01:00", true, ""},
		{"the whole day, said in two", "00:00-12:00,12:00-24:00", "2026-01-10T12:00:00+01:00", true, ""},
		{"before it", "22:00-07:00", "2026-01-10T21:59:59+01:00", false, "2026-01-10T22:00:00+01:00"},
		{"as it begins", "22:00-07:00", "2026-01-10T22:00:00+01:00", true, "2026-01-11T07:00:00+01:00"},
		{"after midnight", "22:00-07:00", "2026-01-11T06:59:59.9+01:00", true, "2026-01-11T07:00:00+01:00"},
		{"as it ends", "22:00-07:00", "2026-01-11T07:00:00+01:00", false, "2026-01-11T22:00:00+01:00"},
		{"up to midnight", "20:00-24:00", "2026-01-10T23:00:00+01:00", true, "2026-01-11T00:00:00+01:00"},
		{"the night is an hour shorter", "22:00-07:00", "2026-03-28T23:00:00+01:00", true, "2026-03-29T07:00:00+02:00"},
		{"the night is an hour longer", "22:00-07:00", "2026-10-24T23:00:00+02:00", true, "2026-10-25T07:00:00+01:00"},
		{"an hour that is not there", "02:15-02:45", "2026-03-29T01:00:00+01:00", false, "2026-03-30T02:15:00+02:00"},
		{"begins in an hour that is not there", "02:30-05:00", "2026-03-29T01:00:00+01:00", false, "2026-03-29T03:00:00+02:00"},
		{"ends in an hour that is not there", "01:00-02:30", "2026-03-29T01:30:00+01:00", true, "2026-03-29T03:00:00+02:00"},
		{"the first of an hour that comes twice", "02:15-02:45", "2026-10-25T02:20:00+02:00", true, "2026-10-25T02:45:00+02:00"},
		{"between the two", "02:15-02:45", "2026-10-25T02:50:00+02:00", false, "2026-10-25T02:15:00+01:00"},
		{"goes on into the hour that comes twice", "02:30-03:30", "2026-10-25T02:40:00+02:00", true, "2026-10-25T02:00:00+01:00"},
	} {
		s, err := ParseSchedule(tc.windows)
		if err != nil {
			t.Fatal(err)
		}
		next := ""
		if n := s.Next(at(tc.now)); !n.IsZero() {
			next = n.Format(time.RFC3339)
		}
		if open := s.Open(at(tc.now)); open != tc.open || next != tc.next {
			t.Errorf("%s: at %s open %v until %s; want %v until %s", tc.name, tc.now, open, next, tc.open, tc.next)
		}
	}
}

// Next against looking at every minute, in places whose clocks do odd things.
func TestNextAgainstEveryMinute(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	places := []*time.Location{time.UTC}
	for _, name := range []string{"Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"} {
		places = append(places, place(t, name))
	}
	for range 400 {
		in := places[rnd.IntN(len(places))]
		var s Schedule
		for range 1 + rnd.IntN(3) {
			if w := (window{rnd.IntN(day), 1 + rnd.IntN(day)}); w.from != w.to {
				s.windows = append(s.windows, w)
			}
		}
		now := time.Unix((1_000_000_000+rnd.Int64N(800_000_000))/60*60, 0).In(in)
		want := now.Add(time.Minute)
		for s.Open(want) == s.Open(now) && want.Sub(now) < 4*24*time.Hour {
			want = want.Add(time.Minute)
		}
		if s.Open(want) == s.Open(now) {
			want = time.Time{}
		}
		if got := s.Next(now); !got.Equal(want) {
			t.Errorf("%q at %s: next %s, want %s", s, now, got, want)
		}
	}
}
