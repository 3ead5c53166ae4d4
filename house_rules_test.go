package main_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) *source {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return &source{path: "x.go", dir: ".", text: []byte(text), tree: f}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s:%d: init: what it does belongs into a constructor", s.path, s.line(f.Pos()))
			}
		}
	}
}

// constants are functions whose results packages may keep in a variable: they
// only compile a constant, and cannot fail differently on another day.
func constants() []string {
	return []string{
		"regexp.MustCompile", "errors.New", "fmt.Errorf", "pinset.Errorf", "pinset.Invalid", "ds.NewKey", "cid.NewCidV1",
		"base32.NewEncoding", "big.NewInt", "reflect.TypeFor", "must",
	}
}

// kept lists package variables that are more than constants, each with its reason.
func kept() map[string]string {
	return map[string]string{
		"ipfsclient.Oldest": "a version, which cannot be a const because it is a struct; nobody writes to it",
	}
}

func TestPackagesKeepNoState(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				name := s.dir + "." + v.Names[0].Name
				if isConstant(v) || isEmbedded(g, v) {
					continue
				}
				used[name] = true
				if kept()[name] == "" {
					t.Errorf("%s:%d: package variable %s: only errors, compiled constants and embedded files may be", s.path,
						s.line(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
	for name := range kept() {
		if !used[name] {
			t.Logf("the exception for %s is not needed any more", name)
		}
	}
}

// isConstant says whether a variable is set once to something that only literals
// and the functions of constants went into.
func isConstant(v *ast.ValueSpec) bool {
	if v.Names[0].Name == "_" {
		return true // a statement about types
	}
	if len(v.Values) == 0 {
		return false
	}
	if l := v.Names[0].Name; ast.IsExported(l) && !strings.HasPrefix(l, "Err") {
		return false // others could write to it
	}
	constant := true
	for _, value := range v.Values {
		ast.Inspect(value, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				constant = constant && isConstantCall(n)
			case *ast.FuncLit:
				constant = false
			case *ast.UnaryExpr:
				constant = constant && n.Op != token.AND && n.Op != token.ARROW
			}
			return constant
		})
	}
	return constant
}

func isConstantCall(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.ArrayType, *ast.MapType, *ast.ParenExpr:
		return true // a conversion
	case *ast.SelectorExpr:
		if inner, ok := f.X.(*ast.CallExpr); ok {
			return isConstantCall(inner) // base32.NewEncoding(…).WithPadding(…)
		}
		if _, ok := f.X.(*ast.CompositeLit); ok {
			return true // cbor.EncOptions{…}.EncMode()
		}
	case *ast.Ident:
		if f.Name == "make" || f.Name == "new" {
			return false
		}
	}
	name := typeName(c.Fun)
	return slices.Contains(constants(), name) || strings.ToLower(name) == name && slices.Contains([]string{"string", "uint64", "byte"}, name)
}

func isEmbedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// TestConstantsStayWhatTheyAre finds assignments to package variables.
func TestConstantsStayWhatTheyAre(t *testing.T) {
	folders := map[string][]source{}
	for _, s := range sources(t) {
		if !s.test {
			folders[s.dir] = append(folders[s.dir], s)
		}
	}
	for _, files := range folders {
		for _, w := range writes(files) {
			t.Errorf("%s:%d: writes to the package variable %s", w.path, w.line, w.function)
		}
	}
}

// writes returns where a package's functions assign to its variables, or to
// elements of them, naming the variable.
func writes(files []source) []place {
	vars := map[string]bool{}
	for _, s := range files {
		for _, d := range s.tree.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						vars[name.Name] = name.Name != "_"
					}
				}
			}
		}
	}
	var out []place
	eachFunction(files, func(s *source, f *ast.FuncDecl) {
		local := locals(f)
		ast.Inspect(f.Body, func(n ast.Node) bool {
			var targets []ast.Expr
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					targets = n.Lhs
				}
			case *ast.IncDecStmt:
				targets = []ast.Expr{n.X}
			}
			for _, e := range targets {
				if name := root(e); vars[name] && !local[name] {
					out = append(out, place{s.path, name, s.line(e.Pos())})
				}
			}
			return true
		})
	})
	return out
}

// locals are the names that a function declares somewhere: its own variables may
// be called like a package's.
func locals(f *ast.FuncDecl) map[string]bool {
	out := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				out[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				out[name.Name] = true
			}
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					out[id.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					out[id.Name] = true
				}
			}
		}
		return true
	})
	return out
}

// root is the name that x, x[i], x.f and *x begin with.
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return ""
}

func TestWritesAreFound(t *testing.T) {
	s := parse(t, `package p
var table = map[string]int{}
func a() { table["x"] = 1 }
func b() { table := map[string]int{}; table["x"] = 1 }
func c(table map[string]int) { table["x"]++ }
func d() { table = nil }
func e() { table["x"]++ }
func f() { x.table = 1 }
`)
	var got []int
	for _, p := range writes([]source{*s}) {
		got = append(got, p.line)
	}
	if want := []int{3, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("writes found in lines %v, want %v", got, want)
	}
}

func TestConstantsAreToldFromState(t *testing.T) {
	for text, want := range map[string]bool{
		`var errX = errors.New("x")`:                                       true,
		`var ErrX = pinset.Errorf(pinset.K, "x")`:                          true,
		`var _ io.Reader = (*T)(nil)`:                                      true,
		`var re = regexp.MustCompile("x")`:                                 true,
		`var units = [...]struct{ n int }{{1}}`:                            true,
		`var code = base32.NewEncoding("x").WithPadding(base32.NoPadding)`: true,
		`var enc = must(cbor.EncOptions{A: cbor.B}.EncMode())`:             true,
		`var b = []byte("x")`:                                              true,
		`var n int`:                                                        false,
		`var mu sync.Mutex`:                                                false,
		`var m = map[string]int{}`:                                         true, // TestConstantsStayWhatTheyAre finds a write to it
		`var m = make(map[string]int)`:                                     false,
		`var f = func() {}`:                                                false,
		`var p = &T{}`:                                                     false,
		`var now = time.Now()`:                                             false,
		`var Units = []int{1}`:                                             false,
		`var once = sync.OnceValue(f)`:                                     false,
		"//go:embed x.txt\nvar x string":                                   true,
		"// Text is it.\n//\n//go:embed x\nvar X embed.FS":                 true,
	} {
		g := parse(t, "package p\n\n"+text+"\n").tree.Decls[0].(*ast.GenDecl)
		v := g.Specs[0].(*ast.ValueSpec)
		if got := isConstant(v) || isEmbedded(g, v); got != want {
			t.Errorf("%s: allowed %v, want %v", text, got, want)
		}
	}
}

// TestDependenciesHaveAReason holds docs/adr/0006 to the imports: a module that we
// use is named there with the reason.
func TestDependenciesHaveAReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := os.ReadFile("docs/adr/0006-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllSubmatch(mod, -1) {
		modules = append(modules, string(m[1]))
	}
	told := map[string]bool{}
	for _, s := range sources(t) {
		for _, imp := range imports(s.tree) {
			used := ""
			for _, m := range modules {
				if (imp == m || strings.HasPrefix(imp, m+"/")) && len(m) > len(used) {
					used = m
				}
			}
			if named := regexp.MustCompile(`[ |]` + regexp.QuoteMeta(used) + `[ ,|]`); used != "" && !told[used] && !named.Match(reasons) {
				told[used] = true
				t.Errorf("%s imports %s: docs/adr/0006-dependencies.md has no reason for it", s.path, used)
			}
		}
	}
}

// sleepers lists functions of tests that may sleep in real time, each with its
// reason. Everything else waits in the virtual time of a synctest bubble, or with
// the one polling helper.
func sleepers() map[string]string {
	return map[string]string{
		"daemon.late":              "a far connection for a benchmark: the delay is what it is made of",
		"daemon.rest":              "benchmarks measure what a process holds once it is at rest",
		"testnet/sim.benchVisible": "a benchmark that writes at a steady pace",
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	files := sources(t)
	linked := reach(files)
	folders := map[string][]source{}
	for _, s := range files {
		if _, in := linked[s.dir]; s.test || !in {
			folders[s.dir] = append(folders[s.dir], s)
		}
	}
	used := map[string]bool{}
	for dir, files := range folders {
		for _, where := range awakeSleeps(files) {
			name := dir + "." + where.function
			used[name] = true
			if sleepers()[name] == "" {
				t.Errorf("%s:%d: sleeps outside of a synctest bubble: wait in one, or poll with a deadline", where.path, where.line)
			}
		}
	}
	for name := range sleepers() {
		if !used[name] {
			t.Logf("the exception for %s is not needed any more", name)
		}
	}
}

type place struct {
	path, function string
	line           int
}

// awakeSleeps finds the sleeps of a folder's tests that no bubble leads to. What
// is handed to synctest.Test, or to a function that calls it, runs in a bubble,
// and so do every function of the folder and the methods of every type that are
// named in there.
func awakeSleeps(files []source) []place {
	decls := map[string][]ast.Node{} // functions by name
	wrappers := map[string]bool{"synctest.Test": true}
	eachFunction(files, func(_ *source, f *ast.FuncDecl) {
		decls[f.Name.Name] = append(decls[f.Name.Name], f)
		if f.Recv != nil {
			of := typeName(f.Recv.List[0].Type)
			decls[of] = append(decls[of], f)
		}
		if calls(f, "synctest.Test") {
			wrappers[f.Name.Name] = true
		}
	})
	inBubble := map[ast.Node]bool{}
	var enter func(n ast.Node)
	enter = func(n ast.Node) {
		if inBubble[n] {
			return
		}
		inBubble[n] = true
		ast.Inspect(n, func(c ast.Node) bool {
			if id, ok := c.(*ast.Ident); ok {
				for _, d := range decls[id.Name] {
					enter(d)
				}
			}
			return true
		})
	}
	eachFunction(files, func(_ *source, f *ast.FuncDecl) {
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && wrappers[typeName(c.Fun)] {
				for _, arg := range c.Args {
					enter(arg)
				}
			}
			return true
		})
	})
	var out []place
	eachFunction(files, func(s *source, f *ast.FuncDecl) {
		cases := map[ast.Node]bool{} // of selects
		ast.Inspect(f, func(n ast.Node) bool {
			if inBubble[n] {
				return false
			}
			if c, ok := n.(*ast.CommClause); ok && c.Comm != nil {
				cases[c.Comm] = true
			}
			if isSleep(n, cases) {
				out = append(out, place{s.path, f.Name.Name, s.line(n.Pos())})
			}
			return true
		})
	})
	return out
}

// isSleep says whether n waits for nothing but time: a sleep, or a receive from a
// timer that is no case of a select.
func isSleep(n ast.Node, cases map[ast.Node]bool) bool {
	if c, ok := n.(*ast.CallExpr); ok {
		return typeName(c.Fun) == "time.Sleep"
	}
	e, ok := n.(*ast.ExprStmt)
	if !ok || cases[n] {
		return false
	}
	u, ok := e.X.(*ast.UnaryExpr)
	return ok && u.Op == token.ARROW && calls(u.X, "time.After")
}

func eachFunction(files []source, do func(*source, *ast.FuncDecl)) {
	for i := range files {
		for _, d := range files[i].tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				do(&files[i], f)
			}
		}
	}
}

func calls(n ast.Node, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && typeName(c.Fun) == name {
			found = true
		}
		return !found
	})
	return found
}

func TestSleepsAreFound(t *testing.T) {
	s := parse(t, `package p
func wrap(t *T, f func()) { synctest.Test(t, f) }
func TestA(t *T) { synctest.Test(t, func(t *T) { time.Sleep(1); helper() }) }
func TestB(t *T) { wrap(t, func() { x.method() }) }
func helper() { deeper() }
func deeper() { time.Sleep(2) }
func (x *X) method() { time.Sleep(3) }
func TestC(t *T) { time.Sleep(4) }
func TestD(t *T) { go func() { time.Sleep(5) }(); awake() }
func awake() { time.Sleep(6) }
func TestE(t *T) { wrap(t, func() { read(slow{}) }) }
func (s *slow) Read() { time.Sleep(7) }
func TestF(t *T) { <-time.After(8) }
func TestG(t *T) { select { case <-time.After(9): case <-done: } }
`)
	var got []int
	for _, p := range awakeSleeps([]source{*s}) {
		got = append(got, p.line)
	}
	if want := []int{8, 9, 10, 13}; !slices.Equal(got, want) {
		t.Errorf("sleeps found in lines %v, want %v", got, want)
	}
}

// machinePath matches what only exists where something was written: folders of
// one machine, and the hosts that packages happen to come from. The pieces are
// apart so that this file does not match itself.
func machinePath() *regexp.Regexp {
	folders := strings.Join([]string{"wor" + "k", "roo" + "t", "tm" + "p", "hom" + "e/[a-z]+"}, "|")
	hosts := strings.Join([]string{"proxy.golang" + `\.org`, "sum.golang" + `\.org`, "registry.npmjs" + `\.org`, "pypi" + `\.org`, "goproxy" + `\.(io|cn)`}, "|")
	return regexp.MustCompile(`(?:^|[^A-Za-z0-9_.~*}\]-])/(?:` + folders + `)(?:/|\b)|(?:` + hosts + `)`)
}

func TestCommittedFilesNameNoMachine(t *testing.T) {
	pattern := machinePath()
	for _, file := range committed(t) {
		text, err := os.ReadFile(file)
		if err != nil || file == "go.sum" || bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
			continue // gone, of the go command, or not text
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := pattern.FindString(line); m != "" {
				t.Errorf("%s:%s: %q is a path or host of one machine", file, strconv.Itoa(i+1), m)
			}
		}
	}
}

// committed lists the files of the repository: as git knows them, or all, where
// there is no git.
func committed(t *testing.T) []string {
	t.Helper()
	if out, err := exec.Command("git", "ls-files", "-z").Output(); err == nil && len(out) > 0 {
		return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	}
	var files []string
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && file != "." && d.Name()[0] == '.' && d.Name() != ".ci" {
			return filepath.SkipDir
		}
		if err == nil && d.Type().IsRegular() {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestMachinePathsAreFound(t *testing.T) {
	for text, want := range map[string]bool{
		`cd "/wor` + `k/main"`: true, "see /tm" + "p/x": true, "/roo" + "t/.ipfs": true, "GOPROXY=https://proxy.golang" + ".org": true,
		"docs/work/x": false, "/workers": false, "a/tmp/b": false, "/p2p/root": false, "$HOME/work": false,
	} {
		if got := machinePath().MatchString(text); got != want {
			t.Errorf("%q: found %v, want %v", text, got, want)
		}
	}
}
