// Package main_test holds the house to its rules: which room may look into which
// (this file), how large things may grow (house_size_test.go), and the habits that
// a compiler does not check (house_rules_test.go). A rule that works against the
// code is changed here, in the open, with its reason.
package main_test

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/pinfold/pinfold"

// A room's row: what it may import of ours, and what it is for, which is why. A
// package below a room, in internal/ or named <room>test, lives by the room's row;
// any other package below a room needs a row of its own. A new row needs a page in
// docs/adr/.
type row struct {
	imports string // separated by spaces
	why     string
}

func houseMap() map[string]row {
	return map[string]row{
		".":               {"cli", "it is the exit code"},
		"canon":           {"", "it is the one encoding of everything, below all rooms"},
		"pinset":          {"canon", "it is vocabulary without I/O, and everyone imports it"},
		"identity":        {"canon", "who may do what is decided without knowing pins, network or disk"},
		"allocation":      {"pinset", "it is a pure function of records and item"},
		"crdtstate":       {"canon pinset identity", "the replicated state knows no network and no IPFS node"},
		"gossip":          {"canon identity", "the network carries bytes and does not read pins"},
		"ipfsclient":      {"pinset", "an IPFS node knows nothing of a cluster"},
		"ipfsnode":        {"pinset ipfsclient ipfsnode/store", "an IPFS node knows nothing of a cluster"},
		"ipfsnode/store":  {"pinset", "blocks on disk know nothing of a cluster"},
		"tracker":         {"canon pinset allocation", "it is handed state, views and node as small interfaces of its own"},
		"cluster":         {"canon pinset identity allocation", "it decides and asks through small interfaces of its own; daemon connects them"},
		"httpapi":         {"pinset httpapi/client httpapi/dialect guard", "a door knows the vocabulary, not the rooms behind it"},
		"httpapi/client":  {"pinset httpapi/dialect", "the client speaks the dialect and needs no server"},
		"httpapi/dialect": {"pinset", "objects on the wire know the vocabulary only"},
		"guard":           {"pinset", "who may come in is decided before anything else is known"},
		"httpproxy":       {"pinset guard", "a door knows the vocabulary, not the rooms behind it"},
		"dashboard":       {"", "the web page speaks only the HTTP API"},
		"metrics":         {"pinset", "it shows figures that it is handed"},
		"daemon": {"canon pinset identity allocation crdtstate gossip ipfsclient ipfsnode ipfsnode/store tracker cluster " +
			"guard httpapi httpapi/client httpapi/dialect httpproxy dashboard metrics",
			"it is the composition root: everything but the command line and testnet"},
		"testnet": {"daemon canon pinset identity allocation crdtstate gossip ipfsclient ipfsnode tracker cluster " +
			"httpapi httpapi/client httpapi/dialect metrics", "it starts daemons"},
		"testnet/sim": {"canon pinset identity allocation crdtstate gossip ipfsclient tracker cluster",
			"it puts real rooms into a simulated network, for tests"},
		"cli": {"daemon testnet httpapi httpapi/client httpapi/dialect identity pinset",
			"a command asks the API's client; daemon and testnet are what it starts"},
	}
}

// notLinked may be used by tests, and must not get into the program.
func notLinked(imported string) bool {
	return imported == "testing" || strings.HasPrefix(imported, "testing/") ||
		strings.HasPrefix(imported, "github.com/marcopolo/simnet") ||
		strings.HasPrefix(imported, "github.com/google/go-cmp") ||
		strings.Contains(imported, "/x/simlibp2p") ||
		imported == module+"/testnet/sim" || isTestPackage(strings.TrimPrefix(imported, module+"/"))
}

// isTestPackage says whether a folder is a room's help for tests: <room>test, and
// kubotest, which builds and starts a real Kubo.
func isTestPackage(dir string) bool {
	base := path.Base(dir)
	return base == "kubotest" || strings.Contains(dir, "/") && base == room(dir)+"test"
}

// room is the top folder.
func room(dir string) string {
	top, _, _ := strings.Cut(dir, "/")
	return top
}

// rowOf returns the name of the row that a folder lives by.
func rowOf(dir string) string {
	if isTestPackage(dir) {
		return path.Dir(dir)
	}
	if before, _, ok := strings.Cut(dir+"/", "/internal/"); ok {
		return before
	}
	return dir
}

// source is one of our files.
type source struct {
	path string // slashed, from the repository's root
	dir  string
	test bool // _test.go
	text []byte
	tree *ast.File
}

// line of a position in the file.
func (s *source) line(p token.Pos) int {
	return 1 + strings.Count(string(s.text[:int(p-s.tree.FileStart)]), "\n")
}

// house is all our Go files, read once. Nested modules are not ours to judge.
var house = sync.OnceValues(func() ([]source, error) {
	var out []source
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(file, "go.mod"))
			if name := d.Name(); file != "." && (nested == nil || name[0] == '.' || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		s := source{path: filepath.ToSlash(file), test: strings.HasSuffix(file, "_test.go")}
		s.dir = path.Dir(s.path)
		if s.text, err = os.ReadFile(file); err != nil {
			return err
		}
		s.tree, err = parser.ParseFile(token.NewFileSet(), file, s.text, parser.ParseComments)
		if err == nil && !neverBuilt(s.tree) {
			out = append(out, s)
		}
		return err
	})
	return out, err
})

// neverBuilt says whether a file carries a build tag of ours that no target sets.
func neverBuilt(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if expr, err := constraint.Parse(c.Text); err == nil && c.Pos() < f.Package {
				return !expr.Eval(func(tag string) bool { return !strings.HasPrefix(tag, "pinfold") })
			}
		}
	}
	return false
}

func sources(t *testing.T) []source {
	t.Helper()
	files, err := house()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func imports(f *ast.File) []string {
	var out []string
	for _, imp := range f.Imports {
		out = append(out, strings.Trim(imp.Path.Value, `"`))
	}
	return out
}

func TestRoomsImportOnlyWhatTheMapAllows(t *testing.T) {
	table := houseMap()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		own := rowOf(s.dir)
		r, ok := table[own]
		if !ok {
			t.Errorf("%s: package %s has no row in houseMap: decide what it may import, and write an ADR", s.path, s.dir)
			continue
		}
		for _, imp := range imports(s.tree) {
			dir, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			switch target := rowOf(dir); {
			case isTestPackage(dir) && (isTestPackage(s.dir) || s.dir == "testnet/sim"):
			case isTestPackage(dir):
				t.Errorf("%s imports %s: that is for tests only", s.path, dir)
			case target == own: // its own parts
			case isTestPackage(s.dir) && target == room(s.dir):
			case slices.Contains(strings.Fields(r.imports), target):
			default:
				t.Errorf("%s imports %s: %s may import %q, because %s", s.path, dir, own, r.imports, r.why)
			}
		}
	}
}

func TestEveryRowIsAllowedOnlyRowsThatExist(t *testing.T) {
	table := houseMap()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		for _, imp := range strings.Fields(table[name].imports) {
			if _, ok := table[imp]; !ok {
				t.Errorf("row %s allows %s, which has no row", name, imp)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented, files := map[string]bool{}, map[string]int{}
	for _, s := range sources(t) {
		if !s.test {
			files[s.dir]++
		}
	}
	for _, s := range sources(t) {
		if text := s.tree.Doc.Text(); text != "" && (path.Base(s.path) == "doc.go" || files[s.dir] == 1 || s.dir == ".") {
			documented[s.dir] = true // a package of one file says it there
		}
	}
	missing := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test && !documented[s.dir] {
			missing[s.dir] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s has no doc.go: what is it for, what does it promise, what does it leave to others?", dir)
	}
}

// reach returns the folders of ours that are linked into the program, each with
// the file that brings it in.
func reach(files []source) map[string]string {
	from := map[string]string{".": "main.go"}
	for todo := []string{"."}; len(todo) > 0; {
		dir := todo[0]
		todo = todo[1:]
		for _, s := range files {
			if s.dir != dir || s.test {
				continue
			}
			for _, imp := range imports(s.tree) {
				next, ours := strings.CutPrefix(imp, module+"/")
				if _, seen := from[next]; ours && !seen {
					from[next] = s.path
					todo = append(todo, next)
				}
			}
		}
	}
	return from
}

func TestTestsAreNotLinkedIntoTheProgram(t *testing.T) {
	files := sources(t)
	linked := reach(files)
	for _, s := range files {
		if _, in := linked[s.dir]; !in || s.test {
			continue
		}
		for _, imp := range imports(s.tree) {
			if notLinked(imp) {
				t.Errorf("%s imports %s, and %s brings it into the program: that is for tests only", s.path, imp, linked[s.dir])
			}
		}
	}
}
