package auth_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"arcproxy/auth"
)

// TestEveryKindHasARemedy reads the constants from the source, so that a new kind
// cannot be forgotten.
func TestEveryKindHasARemedy(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	remedies := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		kind, ok := spec.Type.(*ast.Ident)
		if !ok || kind.Name != "Kind" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := texts[text]; ok {
			t.Errorf("%s and %s have one text", other, spec.Names[0].Name)
		}
		texts[text] = spec.Names[0].Name
		remedy := (&auth.Error{Kind: auth.Kind(text)}).Remedy()
		if remedy == "" {
			t.Errorf("%s has no remedy", spec.Names[0].Name)
		}
		if other, ok := remedies[remedy]; ok {
			t.Errorf("%s and %s have one remedy", other, spec.Names[0].Name)
		}
		remedies[remedy] = spec.Names[0].Name
		return true
	})
	if len(texts) < 25 {
		t.Errorf("only %d kinds were found", len(texts))
	}
	if (&auth.Error{Kind: "no such kind"}).Remedy() != "" {
		t.Error("a kind that does not exist has a remedy")
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("connection reset")
	err := error(&auth.Error{Kind: auth.Unreachable, Identity: "alice", Step: "Okta: password", Code: "E0000009", Seen: "status 503", Err: cause})
	want := "signing alice in: Okta: password: unreachable (E0000009): status 503: connection reset"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if auth.KindOf(errors.Join(errors.New("x"), err)) != auth.Unreachable || auth.KindOf(cause) != "" {
		t.Error("KindOf")
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Authentication failed": "Authentication failed",
		"Your passcode doesn't match our records. Please try again.": "Your passcode doesn't match our records. Please try again.",
		"a\r\nb\x1b[31m\tc":           "a b[31m c",
		"SUCCESS code=abc123":         "SUCCESS code=[…]",
		"password: hunter2 is wrong":  "password: […] is wrong",
		"wrong passcode 123456":       "wrong passcode […]",
		"Error: Invalid client_id":    "Error: Invalid client_id",
		"stateToken:00abc, and more":  "stateToken:[…], and more",
		"\xff\xfeok":                  "ok",
		"eyJhbGciOiJIUzI1NiJ9.x.y ok": "[…] ok",
	} {
		if got := auth.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if n := len(auth.Clean(strings.Repeat("word ", 1e6))); n > 200 {
		t.Errorf("%d bytes", n)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("Authentication failed")
	f.Add("code=x\x00\u202e" + strings.Repeat("é", 500))
	f.Fuzz(func(t *testing.T, text string) {
		got := auth.Clean(text)
		if len(got) > 200 || strings.ContainsAny(got, "\r\n\t\x1b\x00\u202e\u2028") {
			t.Errorf("%q", got)
		}
	})
}
