package test

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"arcproxy/test/program"
	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	"arcproxy/test/sandbox/okta"
)

// TestOpenIDConnect runs the program before Portals that sign in by OpenID Connect,
// with an organization on either engine: check says so, and a request is answered
// as the signed-in account.
func TestOpenIDConnect(t *testing.T) {
	for name, c := range map[string]struct {
		pipeline string
		shape    arcgis.OIDCLogin
		login    string // in the config
		says     string // of check
	}{
		"auto, Classic":              {"v1", arcgis.OIDCOnly, "", "signs in by OpenID Connect\n"},
		"asked for, Classic":         {"v1", arcgis.OIDCLast, `login = "oidc"`, "signs in by OpenID Connect, offers SAML, too\n"},
		"asked for, Identity Engine": {"idx", arcgis.OIDCFirst, `login = "oidc"`, "signs in by OpenID Connect, offers SAML, too\n"},
		"auto, both":                 {"v1", arcgis.OIDCFirst, "", "signs in by SAML, offers OpenID Connect, too\n"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := okta.DefaultSettings()
			settings.Pipeline = c.pipeline
			sb, err := sandbox.Start(sandbox.Config{Okta: &settings, Shape: arcgis.Shape{OIDC: c.shape}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sb.Close)
			file := writeConfig(t, sb, "")
			addLogin(t, file, c.login)
			out, err := exec.CommandContext(t.Context(), arcproxy, "check", "--config", file).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.says) {
				t.Fatalf("check: %v, and it does not say %q:\n%s", err, c.says, out)
			}
			p := program.Start(t, arcproxy, "serve", "--config", file)
			address := p.Says(t, `"msg":"listening","address":"([^"]+)"`)
			for range 2 {
				res, err := get(t.Context(), "http://"+address+"/portal/sharing/rest/community/self?f=json")
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK || !strings.Contains(string(body), sb.User("alice").GISUsername) {
					t.Errorf("HTTP %d: %.300s", res.StatusCode, body)
				}
			}
			byCode := 1
			if c.login == "" && c.shape != arcgis.OIDCOnly {
				byCode = 0
			}
			if n := sb.Okta.Counts(); n.OIDCCodes != byCode || n.Assertions != 1-byCode || n.Primary != 1 {
				t.Errorf("%d codes, %d assertions, %d passwords; want %d, %d, 1", n.OIDCCodes, n.Assertions, n.Primary, byCode, 1-byCode)
			}
			if n := sb.Portal.Counts().SignIns; n != 1 {
				t.Errorf("%d sign-ins, want 1", n)
			}
			for _, secret := range sb.Secrets() {
				if len(secret) < 10 { // a passcode, which any number may look like
					continue
				}
				if strings.Contains(p.Output(), secret) || strings.Contains(string(out), secret) {
					t.Errorf("a secret of %d characters is in the output", len(secret))
				}
			}
		})
	}
	t.Run("not offered", func(t *testing.T) {
		sb := startSandbox(t)
		file := writeConfig(t, sb, "")
		addLogin(t, file, `login = "oidc"`)
		out, err := exec.CommandContext(t.Context(), arcproxy, "check", "--config", file).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "portal     FAILED") || !strings.Contains(string(out), "the Portal signs in by SAML") {
			t.Errorf("check: %v\n%s", err, out)
		}
	})
}

// addLogin adds a line to a config file's [portal].
func addLogin(t *testing.T, file, line string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "[portal]\n", "[portal]\n"+line+"\n", 1)
	if changed == string(text) && line != "" {
		t.Fatal("no [portal]")
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}
