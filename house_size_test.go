package main_test

import (
	"bytes"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The sizes at which a build fails. Aim far below: files of 300 lines, functions
// of 40, packages of 2,500, interfaces of 1 to 4 methods.
const (
	maxFile       = 700
	maxTestFile   = 1000
	maxFunction   = 80
	maxMethods    = 6
	maxParameters = 4
	maxPackage    = 4000
	largePackage  = 2500 // told, not failed
	manyFiles     = 12   // told, not failed
)

// tooLarge lists what may be larger, each with its reason. A name is
// "folder.Function", "folder.Type.Method" or "folder.Interface".
func tooLarge() map[string]string {
	return map[string]string{
		"identity.Found":                   "five things that found a cluster, each of a type of its own; called once",
		"crdtstate/internal/block.Seal":    "a block's parts, each of a type of its own",
		"crdtstate/internal/merge.newWith": "New and one more number, which only a test turns: more workers lose pins",
		"cluster.statusMerge.one":          "one step of a loop over members; what it appends to and what it asks about",
		"daemon.memberRecord":              "puts a record together from all that goes into it; called once",
	}
}

func excused(t *testing.T, used map[string]bool, name string) bool {
	t.Helper()
	reason, ok := tooLarge()[name]
	used[name] = ok
	return ok && reason != ""
}

func TestNothingIsTooLarge(t *testing.T) {
	used := map[string]bool{}
	lines, count := map[string]int{}, map[string]int{}
	for _, s := range sources(t) {
		n, limit := bytes.Count(s.text, []byte("\n")), maxFile
		if s.test {
			limit = maxTestFile
		} else {
			lines[s.dir] += n
			count[s.dir]++
		}
		if n > limit && !excused(t, used, s.path) {
			t.Errorf("%s has %d lines, at most %d: which noun is in there that wants a file of its own?", s.path, n, limit)
		}
		for _, d := range s.tree.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				checkFunction(t, &s, d, used)
			case *ast.GenDecl:
				checkInterfaces(t, &s, d, used)
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(lines)) {
		switch n := lines[dir]; {
		case n > maxPackage && !excused(t, used, dir):
			t.Errorf("package %s has %d lines without tests, at most %d: it is two packages", dir, n, maxPackage)
		case n > largePackage || count[dir] > manyFiles:
			t.Logf("package %s is large: %d lines in %d files, without tests", dir, n, count[dir])
		}
	}
	for name := range tooLarge() {
		if !used[name] {
			t.Logf("the exception for %s is not needed any more", name)
		}
	}
}

func checkFunction(t *testing.T, s *source, f *ast.FuncDecl, used map[string]bool) {
	name := s.dir + "." + f.Name.Name
	if f.Recv != nil {
		name = s.dir + "." + typeName(f.Recv.List[0].Type) + "." + f.Name.Name
	}
	if n := s.code(f); n > maxFunction && !excused(t, used, name) {
		t.Errorf("%s:%d: %s has %d lines without its tables, at most %d", s.path, s.line(f.Pos()), name, n, maxFunction)
	}
	if n := parameters(f.Type); !s.test && !isTestPackage(s.dir) && n > maxParameters && !excused(t, used, name) {
		t.Errorf("%s:%d: %s takes %d parameters, at most %d (without the context): give it an options struct",
			s.path, s.line(f.Pos()), name, n, maxParameters)
	}
}

// code counts the lines of a function, but not those of the tables in it:
// literals with at least three elements that take several lines.
func (s *source) code(f *ast.FuncDecl) int {
	n := s.line(f.End()) - s.line(f.Pos()) + 1
	ast.Inspect(f, func(node ast.Node) bool {
		lit, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if rows := s.line(lit.End()) - s.line(lit.Pos()); len(lit.Elts) >= 3 && rows > 1 && s.isTable(lit) {
			n -= rows
			return false
		}
		return true
	})
	return n
}

// isTable says whether a literal's functions, if it has any, are short enough to
// be columns: 3 statements, in the tables of tests 12.
func (s *source) isTable(lit *ast.CompositeLit) bool {
	limit := 3
	if s.test || isTestPackage(s.dir) {
		limit = 12
	}
	table := true
	ast.Inspect(lit, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncLit); ok && len(f.Body.List) > limit {
			table = false
		}
		return table
	})
	return table
}

func parameters(f *ast.FuncType) int {
	n := 0
	for _, p := range f.Params.List {
		if typeName(p.Type) != "context.Context" {
			n += max(1, len(p.Names))
		}
	}
	return n
}

// typeName is the name of a type without pointer and type arguments.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func checkInterfaces(t *testing.T, s *source, d *ast.GenDecl, used map[string]bool) {
	if d.Tok != token.TYPE {
		return
	}
	for _, spec := range d.Specs {
		ts := spec.(*ast.TypeSpec)
		it, ok := ts.Type.(*ast.InterfaceType)
		if !ok {
			continue
		}
		methods := 0 // of its own: an interface of roles may embed as many as it joins
		for _, m := range it.Methods.List {
			f, isMethod := m.Type.(*ast.FuncType)
			if !isMethod {
				continue
			}
			methods += max(1, len(m.Names))
			if n := parameters(f); n > maxParameters && !excused(t, used, s.dir+"."+ts.Name.Name) {
				t.Errorf("%s:%d: %s.%s takes %d parameters, at most %d (without the context)", s.path, s.line(m.Pos()),
					ts.Name.Name, m.Names[0].Name, n, maxParameters)
			}
		}
		if methods > maxMethods && !excused(t, used, s.dir+"."+ts.Name.Name) {
			t.Errorf("%s:%d: interface %s has %d methods, at most %d: which roles are in there?", s.path, s.line(ts.Pos()),
				ts.Name.Name, methods, maxMethods)
		}
	}
}

func TestSizesAreCountedAsTheRuleSays(t *testing.T) {
	table := strings.Repeat("\t\t{1, 2},\n", 90)
	for _, tc := range []struct {
		name, body string
		want       int
	}{
		{"plain", strings.Repeat("\tx()\n", 90), 92},
		{"table", "\tx := [][2]int{\n" + table + "\t}\n\tuse(x)\n", 4},
		{"table of code", "\tx := []func(){\n" + strings.Repeat("\t\tfunc() {\n\t\t\ta()\n\t\t\tb()\n\t\t\tc()\n\t\t\td()\n\t\t},\n", 4) + "\t}\n", 28},
	} {
		s := parse(t, "package p\n\nfunc f() {\n"+tc.body+"}\n")
		if got := s.code(s.tree.Decls[0].(*ast.FuncDecl)); got != tc.want {
			t.Errorf("%s: counted %d lines, want %d", tc.name, got, tc.want)
		}
	}
}
