package identity_test

import (
	"errors"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/identity"
)

var inviteEqual = cmp.Options{
	cmp.Comparer(func(a, b ma.Multiaddr) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b peer.ID) bool { return a == b }),
	cmp.Comparer(func(a, b identity.Secret) bool { return a == b }),
}

func TestInviteSurvivesWhatChatProgramsDo(t *testing.T) {
	want := testInvite(t)
	text := want.String()
	var wrapped strings.Builder
	for i, r := range text {
		if i > 0 && i%72 == 0 {
			wrapped.WriteString("\r\n> ")
		}
		wrapped.WriteRune(r)
	}
	for name, s := range map[string]string{
		"as it is":          text,
		"space around":      "  \t" + text + "\n\n",
		"wrapped, quoted":   "> " + wrapped.String(),
		"capitalised":       strings.ToUpper(text[:1]) + text[1:],
		"all capitals":      strings.ToUpper(text),
		"in code marks":     "```\n" + text + "\n```",
		"in angle brackets": "<" + text + ">",
		"in curly quotes":   "“" + text + "”",
		"zero-width spaces": text[:40] + "\u200b" + text[40:80] + "\u00a0" + text[80:] + "\ufeff",
		"a full stop":       text + ".",
	} {
		got, err := identity.ParseInvite(s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, inviteEqual); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestInviteSaysWhatIsWrong(t *testing.T) {
	text := testInvite(t).String()
	typo := func(i int) string {
		c := byte('a')
		if text[i] == c {
			c = 'b'
		}
		return text[:i] + string(c) + text[i+1:]
	}
	for _, tc := range []struct {
		name, text string
		want       error
		say        string
	}{
		{"nothing", "", identity.ErrNoInvite, "pinfold1"},
		{"something else", "hello", identity.ErrNoInvite, "pinfold1"},
		{"only the word", "pinfold", identity.ErrCutOff, "cut off"},
		{"only the version", "pinfold1", identity.ErrCutOff, "0 characters"},
		{"cut in the head", text[:12], identity.ErrCutOff, "4 characters"},
		{"cut in the middle", text[:100], identity.ErrCutOff, "92 of"},
		{"cut by one", text[:len(text)-1], identity.ErrCutOff, "cut off"},
		{"a typo in the head", typo(9), identity.ErrTypo, "beginning"},
		{"a typo in the body", typo(80), identity.ErrTypo, "copy it again"},
		{"a typo at the end", typo(len(text) - 3), identity.ErrTypo, "copy it again"},
		{"a character that cannot occur", text[:50] + "1" + text[51:], identity.ErrTypo, "character 43"},
		{"twice", text + text, identity.ErrTypo, "too many"},
		{"words behind it", text + " see you", identity.ErrTypo, "too many"},
		{"a newer version", "pinfold2" + text[8:], identity.ErrNewer, "newer pinfold"},
		{"a much newer version", "pinfold8" + text[8:], identity.ErrNewInvite, "version 8"},
		{"the program's name", "pinfold join", identity.ErrNoInvite, "not an invite"},
	} {
		_, err := identity.ParseInvite(tc.text)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: got %v, want %v with %q", tc.name, err, tc.want, tc.say)
		}
		if err != nil && len(tc.text) > 40 && strings.Contains(err.Error(), tc.text[20:40]) {
			t.Errorf("%s: the error shows the invite: %v", tc.name, err)
		}
	}
}

// Any one wrong character, and any two, are noticed.
func TestInviteNoticesTypos(t *testing.T) {
	text := testInvite(t).String()
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	rnd := rand.New(rand.NewSource(1))
	for range 3000 {
		b := []byte(text)
		for range 1 + rnd.Intn(2) {
			b[8+rnd.Intn(len(b)-8)] = digits[rnd.Intn(len(digits))]
		}
		if string(b) == text {
			continue
		}
		if i, err := identity.ParseInvite(string(b)); err == nil && i.String() != text {
			t.Fatalf("accepted %s", b)
		} else if err == nil {
			t.Fatalf("a second spelling: %s", b)
		}
	}
}

func FuzzParseInvite(f *testing.F) {
	f.Add(testInvite(f).String())
	f.Add("pinfold1")
	f.Fuzz(func(t *testing.T, s string) {
		i, err := identity.ParseInvite(s)
		if err != nil {
			return
		}
		again, err := identity.ParseInvite(i.String())
		if err != nil || !cmp.Equal(i, again, inviteEqual) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
