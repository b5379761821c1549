package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun starts the program, reads its line, asks the Portal it names, and ends
// it by closing its input.
func TestRun(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	stdin, closeStdin := io.Pipe()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(t.Context(), []string{"-tls", "-ca-out", ca, "-tokens", "-until-eof", "-seed", "7"}, stdin, stdout, t.Output())
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Portal string
		Seed   uint64
		Users  []account
	}
	if err := json.Unmarshal(line, &v); err != nil || v.Seed != 7 || len(v.Users) != 4 {
		t.Fatalf("%v: %s", err, line)
	}
	root, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	for _, u := range v.Users {
		res, err := (&http.Client{Transport: tr}).Get(v.Portal + "/sharing/rest/community/self?f=json&token=" + u.Token)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(body), u.FullName) {
			t.Errorf("%s: %s", u.Name, body)
		}
	}
	closeStdin.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunRefusesUnknownFlags(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"-pipeline", "v2"}} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("it ran with %q", args)
		}
	}
}
