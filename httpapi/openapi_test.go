package httpapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type document struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	Scope      string `json:"x-scope"`
	Security   *[]any `json:"security"`
	Parameters []struct {
		Name        string `json:"name"`
		In          string `json:"in"`
		Description string `json:"description"`
	} `json:"parameters"`
	Responses map[string]any `json:"responses"`
}

func readDocument(t *testing.T) (d document) {
	t.Helper()
	raw, err := os.ReadFile("../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDocumentIsTheTable: docs/openapi.json has the routes, their parameters and
// their scopes, and no others.
func TestDocumentIsTheTable(t *testing.T) {
	type entry struct {
		Scope  string
		Open   bool
		Params []string
	}
	want, got := map[string]entry{}, map[string]entry{}
	for _, r := range (&Server{}).routes() {
		e := entry{Scope: string(r.scope), Params: slices.Clone(r.query)}
		if e.Scope == "" {
			e.Scope, e.Open = "none", true
		}
		if _, rest, ok := strings.Cut(r.path, "{"); ok {
			name, _, _ := strings.Cut(rest, "}")
			e.Params = append(e.Params, "path:"+strings.TrimSuffix(name, "..."))
		}
		slices.Sort(e.Params)
		want[r.method+" "+strings.ReplaceAll(r.path, "...}", "}")] = e
	}
	for path, ops := range readDocument(t).Paths {
		for method, op := range ops {
			e := entry{Scope: op.Scope, Open: op.Security != nil && len(*op.Security) == 0}
			for _, p := range op.Parameters {
				name := p.Name
				if p.In == "path" {
					name = "path:" + name
				}
				if p.Description == "" {
					t.Errorf("%s %s: parameter %s is not described", method, path, p.Name)
				}
				e.Params = append(e.Params, name)
			}
			if op.Responses["default"] == nil {
				t.Errorf("%s %s: no word of errors", method, path)
			}
			slices.Sort(e.Params)
			got[strings.ToUpper(method)+" "+path] = e
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-routes +document)\n%s", diff)
	}
}

// TestDocumentHasTheObjects: each field in the golden objects is in the document.
func TestDocumentHasTheObjects(t *testing.T) {
	schemas := readDocument(t).Components.Schemas
	for file, schema := range map[string]string{"pin": "Pin", "status": "Status", "peer": "Peer", "graph": "Graph", "agreement": "Agreement", "alert": "Alert", "health": "Health",
		"version": "Version", "added": "Added", "link": "Link", "removed": "Removed", "merge": "Merge", "invite": "Invite", "problem": "Problem"} {
		raw, err := os.ReadFile(filepath.Join("dialect", "testdata", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		for field := range o {
			if _, ok := schemas[schema].Properties[field]; !ok {
				t.Errorf("%s.%s is not in the document", schema, field)
			}
		}
	}
}
