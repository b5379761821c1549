package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
)

// TestErrorsAreSilent: what goes wrong says nothing of what is stored.
func TestErrorsAreSilent(t *testing.T) {
	for _, text := range []string{`{"v":1,"access_token":"canary"`, `{"v":"canary"}`, `{"v":2,"access_token":"canary"}`, `{"v":1,"access_token":"canary"}`} {
		if _, err := decodeGrant([]byte(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"canary", strings.Repeat("canary1234567890", 4)} {
		if _, err := ParseSealKey(text); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
}

// TestDamaged: what was tampered with is refused by name and left in place.
func TestDamaged(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		ctx, s := t.Context(), open(t, st, nil)
		save(t, s, "alice", "a")
		save(t, s, "bob", "b")
		if err := s.Sessions().Save(ctx, "alice", []byte("session")); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"1", "2"} {
			if err := s.Tokens().Put(ctx, id, []byte("record"+id)); err != nil {
				t.Fatal(err)
			}
		}
		at := s.key.path(kindGrants, "alice")
		good, err := st.Load(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		bobs, _ := st.Load(ctx, s.key.path(kindGrants, "bob"))
		session, _ := st.Load(ctx, s.key.path(kindSessions, "alice"))
		bad := map[string][]byte{
			"empty": {}, "another's": bobs, "of another kind": session, "lengthened": append(bytes.Clone(good), 0),
			"of another key": newSealer(NewSealKey()).seal(kindGrants, "alice", []byte("{}")),
			"no grant":       s.key.seal(kindGrants, "alice", []byte("[]")),
			"a later grant":  s.key.seal(kindGrants, "alice", []byte(`{"v":2,"access_token":"x"}`)),
			"huge":           append(bytes.Clone(good), make([]byte, sealedMost)...),
		}
		for n := range good {
			flipped := bytes.Clone(good)
			flipped[n] ^= 1 << (n % 8)
			bad[fmt.Sprint("flipped at ", n)] = flipped
			if n%7 == 0 {
				bad[fmt.Sprint("cut at ", n)] = good[:n]
			}
		}
		if _, isMemory := st.(*Memory); !isMemory { // syncing takes time
			for n := range good {
				if n%50 != 0 {
					delete(bad, fmt.Sprint("flipped at ", n))
					delete(bad, fmt.Sprint("cut at ", n))
				}
			}
		}
		for what, text := range bad {
			if err := st.Store(ctx, at, text); err != nil {
				t.Fatal(err)
			}
			got, found, err := s.Grants().Load(ctx, "alice")
			d, ok := errors.AsType[*Damaged](err)
			if found || !got.AccessToken.IsZero() || !ok || d.Kind != kindGrants || d.Name != "alice" || d.Path != at || !strings.Contains(err.Error(), "delete it") {
				t.Fatalf("%s: %v, %v", what, found, err)
			}
			if left, err := st.Load(ctx, at); err != nil || !bytes.Equal(left, text) {
				t.Errorf("%s: it was changed: %v", what, err)
			}
		}
		holdsGrant(t, s, "bob", "b")
		// A new sign-in mends it.
		save(t, s, "alice", "new")
		holdsGrant(t, open(t, st, nil), "alice", "new")

		// Others' tokens are still listed.
		if err := st.Store(ctx, s.key.path(kindTokens, "1"), good); err != nil {
			t.Fatal(err)
		}
		var errs, whole int
		for record, err := range s.Tokens().All(ctx) {
			if d, ok := errors.AsType[*Damaged](err); ok && d.Kind == kindTokens {
				errs++
			} else if err == nil && string(record) == "record2" {
				whole++
			}
		}
		if errs != 1 || whole != 1 {
			t.Errorf("%d damaged and %d whole records, want one each", errs, whole)
		}
	})
}

// TestSealIsRandom: the same value twice does not look the same, and what it is
// called differs between keys and kinds.
func TestSealIsRandom(t *testing.T) {
	a, b := newSealer(NewSealKey()), newSealer(NewSealKey())
	if bytes.Equal(a.seal("k", "n", nil), a.seal("k", "n", nil)) {
		t.Error("two seals are the same")
	}
	seen := map[string]bool{}
	for _, p := range []string{a.path("k", "n"), b.path("k", "n"), path.Join("x", a.hash("l", "n")), path.Join("x", a.hash("k", "m"))} {
		seen[path.Base(p)] = true
	}
	if len(seen) != 4 || a.id == b.id {
		t.Errorf("%v", seen)
	}
	if name, value, err := a.open("k", a.hash("k", "n"), a.seal("k", "n", []byte("v"))); name != "n" || string(value) != "v" || err != nil {
		t.Errorf("%q, %q, %v", name, value, err)
	}
}

// FuzzOpen: whatever lies on the disk, it opens only if it was sealed there, and
// what was sealed is understood or refused.
func FuzzOpen(f *testing.F) {
	k := newSealer(&[32]byte{1})
	text, err := encodeGrant(someGrant("t"))
	if err != nil {
		f.Fatal(err)
	}
	good := k.seal(kindGrants, "alice", text)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[:20])
	f.Add([]byte(sealedMark))
	f.Add([]byte{})
	f.Add(text)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		hash := k.hash(kindGrants, "alice")
		if _, value, err := k.open(kindGrants, hash, data); err == nil && !bytes.Equal(value, text) {
			t.Error("a forgery opened")
		}
		// The same behind a seal: a later version, or another program with the key.
		nonce := make([]byte, k.aead.NonceSize())
		sealed := k.aead.Seal(append([]byte(sealedMark), nonce...), nonce, data, []byte(kindGrants+"\x00"+hash))
		if name, _, err := k.open(kindGrants, hash, sealed); err == nil && name != "alice" {
			t.Errorf("the value of %q opened as alice's", name)
		}
		if g, err := decodeGrant(data); err == nil && (g.AccessToken.IsZero() || g.Expires.IsZero()) {
			t.Error("half a grant was read")
		}
		if key, err := ParseSealKey(string(data)); err == nil && !strings.EqualFold(FormatSealKey(key), strings.TrimSpace(string(data))) {
			t.Error("a key was read that is not there")
		}
		// The files of a rotation.
		m := NewMemory()
		s := &Sealed{storage: m, given: k, key: k, log: slog.New(slog.DiscardHandler)}
		for _, kind := range []string{kindRotation, kindOrigin} {
			if err := s.putWith(t.Context(), k, kind, "", data); err != nil {
				return
			}
		}
		if got, _, err := s.recover(t.Context(), k); err == nil && got == nil {
			t.Error("no key rules")
		}
	})
}
