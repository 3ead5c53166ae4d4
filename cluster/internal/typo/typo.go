package typo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// Of says which words look like misspellings of a known one; what is what they
// name, for the message.
func Of(what string, words, known []string) []string {
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	var out []string
	for _, w := range words {
		if near := meant(w, known); near != "" {
			out = append(out, fmt.Sprintf("%s %q: no other member says so, and %q is said: did you mean that?", what, w, near))
		}
	}
	return out
}

// shortWord is up to which length words that differ in a letter are two words:
// de and be are two countries.
const shortWord = 3

// meant returns the known word that given may be a misspelling of, or "": words
// that differ only in their digits are meant (home1, home2).
func meant(given string, known []string) string {
	var others []string
	for _, w := range known {
		switch {
		case w == given:
			return ""
		case withoutDigits(w) != withoutDigits(given):
			others = append(others, w)
		}
	}
	for _, w := range others {
		if strings.EqualFold(w, given) {
			return w
		}
	}
	if len(given) <= shortWord {
		return ""
	}
	return pinset.Nearest(given, others)
}

func withoutDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}
