package cache_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"arcproxy/auth"
	"arcproxy/cache"
)

// TestEveryKindHasARule reads auth's constants from its source, so that a new
// kind of failure is not remembered by accident.
func TestEveryKindHasARule(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../auth/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Kind" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		kinds++
		if !cache.HasRule(auth.Kind(text)) {
			t.Errorf("failures.go does not say what becomes of auth.%s", spec.Names[0].Name)
		}
		return true
	})
	if kinds != cache.Rules() {
		t.Errorf("auth has %d kinds, failures.go %d", kinds, cache.Rules())
	}
}
