package okta

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
)

// testKey is a software key whose credential is three zero bytes.
var testKey = "Credential-Id: AAAA\n" + pkcs8(func() any { k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return k }())

func pkcs8(private any) string {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestKeyForms: what a software key may look like, and what is none. No error quotes it.
func TestKeyForms(t *testing.T) {
	_, key, _ := strings.Cut(testKey, "\n")
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, c := range map[string]struct{ text, want string }{
		"as documented":     {testKey, ""},
		"base64":            {"Credential-Id: +/+/AA==\n" + key, ""},
		"base64 for URLs":   {"Credential-Id: -_-_AA\n" + key, ""},
		"case, line breaks": {"# mine\r\ncredential-id:AAAA\r\n" + strings.ReplaceAll(key, "\n", "\r\n"), ""},
		"no id":             {key, "Credential-Id"},
		"id behind":         {key + "Credential-Id: AAAA\n", "Credential-Id"},
		"id is no base64":   {"Credential-Id: *\n" + key, "base64"},
		"id is empty":       {"Credential-Id:\n" + key, "base64"},
		"no key":            {"Credential-Id: AAAA\n", "no private key"},
		"empty":             {"", "no private key"},
		"cut off":           {testKey[:len(testKey)-40], "PKCS #8"},
		"certificate":       {"Credential-Id: AAAA\n" + strings.ReplaceAll(key, "PRIVATE KEY", "CERTIFICATE"), "PKCS #8"},
		"nonsense inside":   {"Credential-Id: AAAA\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "PKCS #8"},
		"P-384":             {"Credential-Id: AAAA\n" + pkcs8(p384), "P-256"},
		"RSA":               {"Credential-Id: AAAA\n" + pkcs8(other), "P-256"},
		"too long":          {testKey + strings.Repeat(" ", maxKey), "too long"},
	} {
		err := ParseKey(auth.NewSecret(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestCounterRises: from one signature to the next, also within a second.
func TestCounterRises(t *testing.T) {
	a := auth.NewAccount(auth.Identity{})
	now := time.Unix(1_800_000_000, 0)
	if got := []uint32{a.NextCounter(now), a.NextCounter(now), a.NextCounter(now.Add(-time.Hour)), a.NextCounter(now.Add(time.Hour))}; got[0] != 1_800_000_000 || got[1] <= got[0] || got[2] <= got[1] || got[3] != 1_800_003_600 {
		t.Errorf("%v", got)
	}
}

func FuzzKey(f *testing.F) {
	f.Add(testKey)
	f.Add("Credential-Id: AAAA\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
	f.Add("")
	told := map[string]bool{}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseKey(auth.NewSecret(text))
		if (k == nil) != (err != nil) || k != nil && (k.private == nil || len(k.id) == 0) {
			t.Errorf("%v %v", k, err)
		}
		if err != nil { // which is one of a few texts, none of them made of the key's
			told[err.Error()] = true
		}
		if len(told) > 8 {
			t.Errorf("%v", told)
		}
	})
}
