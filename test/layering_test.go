package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which of our packages each may import; "…" at the end stands for
// everything below. A package that is not here may not exist.
var layers = map[string][]string{
	"arcproxy/auth":                     {},
	"arcproxy/auth/okta":                {"arcproxy/auth"},
	"arcproxy/auth/portal":              {"arcproxy/auth"},
	"arcproxy/cache":                    {"arcproxy/auth"},
	"arcproxy/cache/storage":            {"arcproxy/auth", "arcproxy/cache"},
	"arcproxy/proxy":                    {"arcproxy/auth", "arcproxy/proxy/audit", "arcproxy/proxy/console", "arcproxy/proxy/form", "arcproxy/proxy/issue", "arcproxy/proxy/mapping", "arcproxy/proxy/pattern", "arcproxy/proxy/peer", "arcproxy/proxy/policy"},
	"arcproxy/proxy/audit":              {},
	"arcproxy/proxy/console":            {"arcproxy/auth"},
	"arcproxy/proxy/form":               {"arcproxy/proxy/pattern"},
	"arcproxy/proxy/issue":              {"arcproxy/proxy/pattern"},
	"arcproxy/proxy/listener":           {},
	"arcproxy/proxy/mapping":            {"arcproxy/proxy/pattern"},
	"arcproxy/proxy/pattern":            {},
	"arcproxy/proxy/peer":               {},
	"arcproxy/proxy/policy":             {"arcproxy/proxy/pattern"},
	"arcproxy/cmd/arcproxy":             {"arcproxy/…"},
	"arcproxy/test":                     {},
	"arcproxy/test/attack":              {},
	"arcproxy/test/bench":               {"arcproxy/auth", "arcproxy/proxy", "arcproxy/proxy/…"},
	"arcproxy/test/crawl":               {},
	"arcproxy/test/program":             {},
	"arcproxy/test/soak":                {},
	"arcproxy/test/soak/cmd/soak":       {"arcproxy/test/sandbox", "arcproxy/test/sandbox/…"},
	"arcproxy/test/sandbox":             {"arcproxy/test/sandbox/…"},
	"arcproxy/test/sandbox/okta":        {},
	"arcproxy/test/sandbox/arcgis":      {},
	"arcproxy/test/sandbox/cmd/sandbox": {"arcproxy/test/sandbox", "arcproxy/test/sandbox/…"},
}

// TestLayering keeps the packages in the order that makes them readable alone:
// the simulator shares no type with the code under test, and only cmd composes.
func TestLayering(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "arcproxy/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		allowed, ok := layers[p.ImportPath]
		if !ok {
			t.Errorf("%s has no place in the layering: add it to this table, and say there what it may import", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "arcproxy/") && !slices.ContainsFunc(allowed, func(a string) bool {
				prefix, below := strings.CutSuffix(a, "…")
				return imp == a || below && strings.HasPrefix(imp, prefix)
			}) {
				t.Errorf("%s imports %s, which the layering does not allow", p.ImportPath, imp)
			}
		}
	}
	if seen < 8 {
		t.Errorf("go list named only %d packages", seen)
	}
}
