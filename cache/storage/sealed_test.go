package storage

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"arcproxy/auth"
)

// open opens st, and fails the test if that is an error.
func open(t *testing.T, st certmagic.Storage, key *[32]byte) *Sealed {
	t.Helper()
	s, err := OpenSealed(t.Context(), st, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hearing returns a logger and what it has heard.
func hearing() (*slog.Logger, *heard) {
	h := &heard{}
	return slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug})), h
}

type heard struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func someGrant(token string) auth.Grant {
	at := time.Date(2026, 11, 24, 1, 2, 3, 4, time.FixedZone("", -3600))
	return auth.Grant{
		AccessToken:    auth.NewSecret(token),
		Expires:        at.Add(30 * time.Minute),
		RefreshToken:   auth.NewSecret("refresh-" + token),
		RefreshExpires: at.Add(14 * 24 * time.Hour),
		Username:       "alice@example.com_sandbox",
		Obtained:       at,
	}
}

// same reports whether two grants say the same.
func same(a, b auth.Grant) bool {
	return a.AccessToken.Equal(b.AccessToken) && a.RefreshToken.Equal(b.RefreshToken) && a.Username == b.Username &&
		a.Expires.Equal(b.Expires) && a.RefreshExpires.Equal(b.RefreshExpires) && a.Obtained.Equal(b.Obtained)
}

// holdsGrant wants identity's grant to have a token, "" for none.
func holdsGrant(t *testing.T, s *Sealed, identity, token string) {
	t.Helper()
	got, found, err := s.Grants().Load(t.Context(), identity)
	if err != nil || found != (token != "") || found && !same(got, someGrant(token)) {
		t.Errorf("%q has %q, %v, %v; want %q", identity, got.AccessToken.Reveal(), found, err, token)
	}
}

func save(t *testing.T, s *Sealed, identity, token string) {
	t.Helper()
	if err := s.Grants().Save(t.Context(), identity, someGrant(token)); err != nil {
		t.Fatal(err)
	}
}

func records(t *testing.T, s *Sealed) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for record, err := range s.Tokens().All(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		all[string(record)] = true
	}
	return all
}

// TestValues: what is stored is there after a restart, under any name.
func TestValues(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		ctx, s := t.Context(), open(t, st, nil)
		for i, name := range names {
			holdsGrant(t, s, name, "")
			if err := errors.Join(s.Grants().Delete(ctx, name), s.Sessions().Delete(ctx, name), s.Tokens().Delete(ctx, name)); err != nil {
				t.Errorf("deleting nothing of %q: %v", name, err)
			}
			save(t, s, name, "former")
			save(t, s, name, fmt.Sprint("token", i))
			if err := s.Sessions().Save(ctx, name, []byte(fmt.Sprint("session", i))); err != nil {
				t.Fatal(err)
			}
			if err := s.Tokens().Put(ctx, name, []byte(fmt.Sprint("record", i))); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, st, nil)
		if got := records(t, s); len(got) != len(names) {
			t.Errorf("records: %v", got)
		}
		for i, name := range names {
			holdsGrant(t, s, name, fmt.Sprint("token", i))
			if got, found, err := s.Sessions().Load(ctx, name); string(got) != fmt.Sprint("session", i) || !found || err != nil {
				t.Errorf("%q: %q, %v, %v", name, got, found, err)
			}
		}
		if err := errors.Join(s.Grants().Delete(ctx, "alice"), s.Sessions().Delete(ctx, "alice"), s.Tokens().Delete(ctx, "alice")); err != nil {
			t.Fatal(err)
		}
		s = open(t, st, nil)
		holdsGrant(t, s, "alice", "")
		holdsGrant(t, s, "Alice", "token1")
		if _, found, err := s.Sessions().Load(ctx, "alice"); found || err != nil {
			t.Errorf("after Delete: %v, %v", found, err)
		}
		if got := records(t, s); len(got) != len(names)-1 || got["record0"] {
			t.Errorf("after Delete: %v", got)
		}
		if err := s.Sessions().Save(ctx, "alice", make([]byte, sealedMost)); err == nil {
			t.Error("a value was stored that is too large to be read")
		}
	})
}

// TestGrantIsWhole: no field of a grant is forgotten, those that it gets later included.
func TestGrantIsWhole(t *testing.T) {
	var g auth.Grant
	v := reflect.ValueOf(&g).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i).Addr().Interface().(type) {
		case *auth.Secret:
			*f = auth.NewSecret(fmt.Sprint("secret", i))
		case *string:
			*f = fmt.Sprint("text", i)
		case *time.Time:
			*f = time.Unix(int64(1000+i), 1).UTC()
		default:
			t.Fatalf("storage does not know how to keep %s", v.Type().Field(i).Name)
		}
	}
	text, err := encodeGrant(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeGrant(text)
	if err != nil || !reflect.DeepEqual(got, g) {
		t.Errorf("%s became %+v, %v", text, got, err)
	}
	// Without a refresh token, as an implicit grant is.
	bare := auth.Grant{AccessToken: g.AccessToken, Expires: g.Expires}
	if text, err = encodeGrant(bare); err != nil {
		t.Fatal(err)
	}
	if got, err = decodeGrant(text); err != nil || !reflect.DeepEqual(got, bare) {
		t.Errorf("%s became %+v, %v", text, got, err)
	}
}

// TestNothingIsReadable looks for everything that is stored, in every file and name.
func TestNothingIsReadable(t *testing.T) {
	dir := t.TempDir()
	st := NewFiles(dir)
	ctx, s := t.Context(), open(t, st, nil)
	canaries := []string{"canaryidentity", "canaryuser@example.com", "canary-access", "canary-refresh", "canary-cookie", "canary-record", "canary-id"}
	first := s.key.key
	for range 2 { // before and after a rotation
		release, err := s.Claim(ctx)
		if err != nil {
			t.Fatal(err)
		}
		g := auth.Grant{AccessToken: auth.NewSecret(canaries[2]), RefreshToken: auth.NewSecret(canaries[3]), Expires: time.Now(), Username: canaries[1]}
		err = errors.Join(
			s.Grants().Save(ctx, canaries[0], g),
			s.Sessions().Save(ctx, canaries[0], []byte(canaries[4])),
			s.Tokens().Put(ctx, canaries[6], []byte(canaries[5])),
			NewRefusals(st).Remember(ctx, canaries[0], refusal()),
			s.Rotate(ctx, nil),
			release(),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range [][32]byte{first, s.key.key} {
		canaries = append(canaries, string(key[:]), FormatSealKey(&key))
	}
	if seen := readable(t, dir, canaries); seen < 6 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// readable looks for canaries in all files below dir, and in their names, and
// returns how many files that were. The key file is the one place for keys.
func readable(t *testing.T, dir string, canaries []string) (seen int) {
	t.Helper()
	var forms []string
	for _, c := range canaries {
		forms = append(forms, c, hex.EncodeToString([]byte(c)), base64.StdEncoding.EncodeToString([]byte(c)), base64.RawURLEncoding.EncodeToString([]byte(c)))
	}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, file)
		text := []byte(rel)
		if !d.IsDir() && filepath.ToSlash(rel) != sealKeyName {
			more, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			seen++
			text = append(text, more...)
		}
		for _, form := range forms {
			if bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(form))) {
				t.Errorf("%s shows %q", rel, form)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return seen
}

// TestUnreadableValue: one that cannot be read counts as absent, and can be replaced.
func TestUnreadableValue(t *testing.T) {
	st := NewFiles(t.TempDir())
	s := open(t, st, nil)
	save(t, s, "alice", "a")
	at := s.key.path(kindGrants, "alice")
	if err := os.Remove(st.Filename(at)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(st.Filename(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.Grants().Load(t.Context(), "alice"); found || err == nil || !strings.Contains(err.Error(), at) {
		t.Errorf("%v, %v", found, err)
	}
}

// TestReadOnly: what is there can be read where nothing can be written, not even a
// lock; writing is an Unwritable, and heals.
func TestReadOnly(t *testing.T) {
	inner := NewMemory()
	save(t, open(t, inner, nil), "alice", "a")
	for _, cause := range []error{syscall.ENOSPC, syscall.EROFS} {
		st := &unwritableStorage{Memory: inner, err: cause}
		s := open(t, st, nil)
		holdsGrant(t, s, "alice", "a")
		for what, err := range map[string]error{
			"save": s.Grants().Save(t.Context(), "alice", someGrant("b")), "delete": s.Grants().Delete(t.Context(), "alice"),
			"put": s.Tokens().Put(t.Context(), "1", nil), "session": s.Sessions().Save(t.Context(), "alice", nil),
		} {
			u, ok := errors.AsType[*Unwritable](err)
			if !ok || !errors.Is(err, cause) || strings.Contains(err.Error(), "alice") || u.Path == "" {
				t.Errorf("%s: %v", what, err)
			}
		}
		holdsGrant(t, s, "alice", "a")
		st.err = nil
		save(t, s, "alice", "b")
		save(t, s, "alice", "a")
	}
	if _, err := OpenSealed(t.Context(), &unwritableStorage{Memory: NewMemory(), err: syscall.ENOSPC}, nil, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("no key can be made: %v", err)
	} else if _, ok := errors.AsType[*Unwritable](err); !ok {
		t.Errorf("no key can be made: %v", err)
	}
}

// unwritableStorage cannot be written as long as err is set.
type unwritableStorage struct {
	*Memory
	err error
}

func (u *unwritableStorage) Store(ctx context.Context, key string, value []byte) error {
	if u.err != nil {
		return u.err
	}
	return u.Memory.Store(ctx, key, value)
}

func (u *unwritableStorage) Delete(ctx context.Context, key string) error {
	if u.err != nil {
		return u.err
	}
	return u.Memory.Delete(ctx, key)
}

// TestClaim: of two on one directory the second hears of the first.
func TestClaim(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, NewFiles(dir), nil), open(t, NewFiles(dir), nil)
	release, err := a.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Claim(t.Context()); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the second: %v", err)
	}
	if err := b.Rotate(t.Context(), nil); !errors.Is(err, ErrInUse) {
		t.Errorf("a rotation by the second: %v", err)
	}
	// It can be released after a rotation, and once.
	save(t, a, "alice", "1")
	if err := a.Rotate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(release(), release()); err != nil {
		t.Error(err)
	}
	// Whoever claims afterwards has the new key.
	if release, err = b.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	holdsGrant(t, b, "alice", "1")
	save(t, b, "alice", "2")
	if err := release(); err != nil {
		t.Error(err)
	}
	holdsGrant(t, open(t, NewFiles(dir), nil), "alice", "2")
}

// TestJunk: what lies about does not slow a start down, nor is it touched.
func TestJunk(t *testing.T) {
	dir := t.TempDir()
	st := NewFiles(dir)
	s := open(t, st, nil)
	save(t, s, "alice", "a")
	const junk = 20_000
	for _, folder := range []string{"", tempFolder, sealedFolder, s.key.folder(kindGrants), s.key.folder(kindTokens)} {
		if err := os.MkdirAll(st.Filename(folder), 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range junk / 5 {
			if err := os.WriteFile(filepath.Join(st.Filename(folder), fmt.Sprintf("%06d.junk", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	counting := &counted{Storage: st}
	if got := testing.AllocsPerRun(1, func() { holdsGrant(t, open(t, st, nil), "alice", "a") }); got > 20*junk/5 {
		t.Errorf("%v allocations", got)
	}
	s = open(t, counting, nil)
	if got := records(t, s); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if counting.loads > 10 {
		t.Errorf("%d files were read", counting.loads)
	}
	if entries, err := os.ReadDir(st.Filename(s.key.folder(kindTokens))); err != nil || len(entries) != junk/5 {
		t.Errorf("%d are left, %v", len(entries), err)
	}
}

// counted counts what is read.
type counted struct {
	certmagic.Storage
	loads int
}

func (c *counted) Load(ctx context.Context, key string) ([]byte, error) {
	c.loads++
	return c.Storage.Load(ctx, key)
}
