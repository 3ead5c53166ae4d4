// Package typed reads command lines as people type them, for a library that is
// stricter about the order of words.
package typed

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Order moves flags before the arguments, so that `pin add CID --name N` and
// `status --json` work as people type them: the library wants each flag right
// behind the command that owns it. Everything after "--" stays as it is.
func Order(a *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	var global, path, local, positional []string
	flags, commands := a.Flags, a.Commands
	for rest := args[1:]; len(rest) > 0; {
		word := rest[0]
		rest = rest[1:]
		if word == "--" {
			positional = append(positional, rest...)
			return slices.Concat(args[:1], global, path, local, []string{"--"}, positional)
		}
		if len(word) < 2 || word[0] != '-' || negative(word) {
			if next := find(commands, word); next != nil && len(positional) == 0 {
				path = append(path, word)
				flags, commands = next.Flags, next.Subcommands
			} else {
				positional = append(positional, word)
			}
			continue
		}
		if together := apart(flags, word); together != nil {
			rest = append(together, rest...)
			continue
		}
		owner, into := flags, &local
		if len(path) == 0 || (!has(flags, word) && has(a.Flags, word)) {
			owner, into = a.Flags, &global
		}
		*into = append(*into, word)
		if takesValue(owner, word) && len(rest) > 0 {
			*into = append(*into, rest[0])
			rest = rest[1:]
		}
	}
	if slices.ContainsFunc(positional, func(w string) bool { return len(w) > 1 && w[0] == '-' }) {
		positional = append([]string{"--"}, positional...) // a value to the library too
	}
	return slices.Concat(args[:1], global, path, local, positional)
}

// negative says whether a word is a number below zero, with a unit or without, which
// is a value: -1, -5GB.
func negative(word string) bool { return word[1] >= '0' && word[1] <= '9' }

// apart returns the flags that stand together in one word, as -Qr does for -Q -r;
// nil unless each letter is a flag, and all but the last take no value.
func apart(flags []cli.Flag, word string) []string {
	letters := word[1:]
	if len(letters) < 2 || letters[0] == '-' || has(flags, word) {
		return nil
	}
	var out []string
	for i, r := range letters {
		flag := "-" + string(r)
		if !has(flags, flag) || takesValue(flags, flag) && i < len(letters)-1 {
			return nil
		}
		out = append(out, flag)
	}
	return out
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func flagName(word string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return name
}

// Flag is the one that a word names, nil if none is.
func Flag(flags []cli.Flag, word string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), flagName(word)) {
			return f
		}
	}
	return nil
}

func has(flags []cli.Flag, word string) bool { return Flag(flags, word) != nil }

func takesValue(flags []cli.Flag, word string) bool {
	if strings.Contains(word, "=") {
		return false
	}
	f, ok := Flag(flags, word).(cli.DocGenerationFlag)
	return ok && f.TakesValue()
}
