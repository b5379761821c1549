package storage

import (
	"fmt"
	"testing"

	"github.com/caddyserver/certmagic"
)

// BenchmarkSave is one grant, kept for good, beside CertMagic's own files.
func BenchmarkSave(b *testing.B) {
	for name, st := range map[string]certmagic.Storage{
		"memory": NewMemory(), "files": NewFiles(b.TempDir()), "certmagic": &certmagic.FileStorage{Path: b.TempDir()},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := OpenSealed(b.Context(), st, nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := s.Grants().Save(b.Context(), "alice", someGrant("t")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoad is one grant.
func BenchmarkLoad(b *testing.B) {
	s, err := OpenSealed(b.Context(), NewFiles(b.TempDir()), nil, nil)
	if err == nil {
		err = s.Grants().Save(b.Context(), "alice", someGrant("t"))
	}
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := s.Grants().Load(b.Context(), "alice"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRotate is of a thousand issued tokens.
func BenchmarkRotate(b *testing.B) {
	s, err := OpenSealed(b.Context(), NewFiles(b.TempDir()), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if err := s.Tokens().Put(b.Context(), fmt.Sprint(i), make([]byte, 200)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.Rotate(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
