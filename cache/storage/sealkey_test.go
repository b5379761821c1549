package storage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
)

// TestLostKey: without its key, what is sealed stays, is told of, and is there
// again with the key.
func TestLostKey(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		ctx, s := t.Context(), open(t, st, nil)
		save(t, s, "alice", "first")
		key, err := st.Load(ctx, sealKeyName)
		if err == nil {
			err = st.Delete(ctx, sealKeyName)
		}
		if err != nil {
			t.Fatal(err)
		}
		log, said := hearing()
		second, err := OpenSealed(ctx, st, nil, log)
		if err != nil {
			t.Fatal(err)
		}
		holdsGrant(t, second, "alice", "")
		save(t, second, "alice", "second")
		if text := said.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, s.key.folder()) || !strings.Contains(text, "put back the former key") || strings.Contains(text, "alice") {
			t.Errorf("the log says %q", text)
		}
		// A configured key that is another one.
		third := open(t, st, NewSealKey())
		holdsGrant(t, third, "alice", "")
		save(t, third, "alice", "third")
		// The first key is found.
		if err := st.Store(ctx, sealKeyName, key); err != nil {
			t.Fatal(err)
		}
		log, said = hearing()
		if s, err = OpenSealed(ctx, st, nil, log); err != nil {
			t.Fatal(err)
		}
		holdsGrant(t, s, "alice", "first")
		if text := said.String(); !strings.Contains(text, second.key.folder()) || !strings.Contains(text, third.key.folder()) || strings.Contains(text, FormatSealKey(&second.key.key)) {
			t.Errorf("the log says %q", text)
		}
		// With nothing in it, another folder is not worth a word.
		if err := errors.Join(third.Grants().Delete(ctx, "alice"), second.Grants().Delete(ctx, "alice")); err != nil {
			t.Fatal(err)
		}
		log, said = hearing()
		if _, err = OpenSealed(ctx, st, nil, log); err != nil || said.String() != "" {
			t.Errorf("the log says %q, %v", said, err)
		}
	})
}

// TestDamagedKey: a key file that holds no key is kept beside a new one.
func TestDamagedKey(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		ctx, s := t.Context(), open(t, st, nil)
		save(t, s, "alice", "first")
		good := FormatSealKey(&s.key.key)
		for i, bad := range []string{"", good[:63], good + "0", "x" + good[1:], strings.Repeat("0", 64)} {
			if err := st.Store(ctx, sealKeyName, []byte(bad)); err != nil {
				t.Fatal(err)
			}
			log, said := hearing()
			for range 2 {
				again, err := OpenSealed(ctx, st, nil, log)
				if err != nil {
					t.Fatalf("%q: %v", bad, err)
				}
				if again.key.id == s.key.id {
					t.Fatal("it opened")
				}
			}
			kept := fmt.Sprintf("%s.damaged-%d", sealKeyName, i+1)
			if got, err := st.Load(ctx, kept); err != nil || string(got) != bad {
				t.Errorf("kept: %q, %v", got, err)
			}
			if text := said.String(); strings.Count(text, kept) != 1 || strings.Contains(text, good[:20]) {
				t.Errorf("the log says %q", text)
			}
		}
		if err := st.Store(ctx, sealKeyName, []byte("\n"+strings.ToUpper(good)+"  \r\n")); err != nil {
			t.Fatal(err)
		}
		holdsGrant(t, open(t, st, nil), "alice", "first")
	})
}

// TestUnreadableKey: a key that cannot be read may be in order, so it is neither
// replaced nor done without.
func TestUnreadableKey(t *testing.T) {
	inner := NewMemory()
	s := open(t, inner, nil)
	save(t, s, "alice", "a")
	_, err := OpenSealed(t.Context(), &broken{Storage: inner, op: "load"}, nil, nil)
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), sealKeyName) || !strings.Contains(err.Error(), "make it readable") {
		t.Errorf("%v", err)
	}
	holdsGrant(t, open(t, inner, nil), "alice", "a")
}

// TestExposedKey: a key that others may read is told of.
func TestExposedKey(t *testing.T) {
	st := NewFiles(t.TempDir())
	open(t, st, nil)
	info, err := os.Stat(st.Filename(sealKeyName))
	if err != nil {
		t.Fatal(err)
	}
	if exposed(info) {
		t.Errorf("it is made with mode %v", info.Mode())
	}
	if err := os.Chmod(st.Filename(sealKeyName), 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err = os.Stat(st.Filename(sealKeyName)); err != nil || !exposed(info) {
		t.Skip("modes mean nothing here")
	}
	log, said := hearing()
	if _, err := OpenSealed(t.Context(), st, nil, log); err != nil || !strings.Contains(said.String(), "chmod 600") {
		t.Errorf("the log says %q, %v", said, err)
	}
}
