package main_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheArchitecturePageIsTrue holds docs/architecture.md to the import map and to
// the folders: a reader who trusts the page is not misled.
func TestTheArchitecturePageIsTrue(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{}
	for _, s := range sources(t) {
		if !isTestPackage(s.dir) {
			folders[s.dir] = true
		}
	}
	for _, fault := range misdrawn(pageRows(string(page)), houseMap(), folders) {
		t.Errorf("docs/architecture.md: %s", fault)
	}
}

// pageRows returns the folders that the page's tables name, each with its last cell.
func pageRows(page string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(?:.*\\|)? ([^|]+) \\|$").FindAllStringSubmatch(page, -1) {
		out[strings.Replace(m[1], "main.go", ".", 1)] = m[2]
	}
	return out
}

// misdrawn says where the page and the house differ. A cell that is no list of
// rooms ("all but …") is words for people and not compared.
func misdrawn(page map[string]string, table map[string]row, folders map[string]bool) (faults []string) {
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		if _, ok := page[dir]; !ok {
			faults = append(faults, dir+" has no row")
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(page)) {
		if !folders[dir] {
			faults = append(faults, "there is no "+dir)
			continue
		}
		told := strings.Split(strings.Trim(page[dir], "-"), ", ")
		if dir != room(dir) || strings.Contains(told[0], " ") {
			continue
		}
		allowed := map[string]bool{}
		for _, imp := range strings.Fields(table[dir].imports) {
			allowed[room(imp)] = true
		}
		delete(allowed, dir) // its own parts
		if want := strings.Join(slices.Sorted(maps.Keys(allowed)), ", "); strings.Join(slices.Sorted(slices.Values(told)), ", ") != want {
			faults = append(faults, dir+" may import "+want+", not "+page[dir])
		}
	}
	return faults
}

func TestFalsePicturesAreFound(t *testing.T) {
	table := map[string]row{".": {"b", ""}, "a": {"", ""}, "b": {"a b/c", ""}, "b/c": {"", ""}}
	folders := map[string]bool{".": true, "a": true, "b": true, "b/c": true}
	good := "| `main.go` | x | b |\n| `a` | x | - |\n| `b` | x | a |\n| `b/c` | a part |\n"
	for name, tc := range map[string]struct {
		page string
		want []string
	}{
		"true":          {good, nil},
		"in words":      {strings.Replace(good, "| x | a |", "| x | all but main |", 1), nil},
		"no row":        {strings.Replace(good, "| `b/c` | a part |", "", 1), []string{"b/c has no row"}},
		"no folder":     {good + "| `d` | x | - |\n", []string{"there is no d"}},
		"other imports": {strings.Replace(good, "| x | a |", "| x | - |", 1), []string{"b may import a, not -"}},
	} {
		if got := misdrawn(pageRows(tc.page), table, folders); !slices.Equal(got, tc.want) {
			t.Errorf("%s: found %q, want %q", name, got, tc.want)
		}
	}
}
