package secret

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plainStore is the plain text of a store with a secret of every kind.
func plainStore(t testing.TB) []byte {
	s, err := Open(Options{Cloud: "web", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Password("p")
	s.Bytes("b", 8)
	s.FernetKeys("f")
	s.SSHKey("s")
	s.Certificate("c", "a.internal")
	plain, err := encode(s.entries)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func FuzzDecode(f *testing.F) {
	plain := plainStore(f)
	f.Add(plain)
	f.Add(plain[:len(plain)/2])
	f.Add([]byte(`{"version":1,"entries":[{"name":"a","kind":"password","generation":1,"created":"2026-01-01T00:00:00Z","text":"x"}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"entries":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decode(data)
		if err != nil {
			if entries != nil {
				t.Error("entries beside an error")
			}
			return
		}
		again, err := encode(entries)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := decode(again)
		if err != nil || len(back) != len(entries) {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice, err := encode(back); err != nil || !bytes.Equal(twice, again) {
			t.Fatal("writing is not deterministic")
		}
		use(t, entries)
	})
}

// use asks for everything that was read; nothing may panic.
func use(t *testing.T, entries map[string]*entry) {
	v := &vault{now: time.Now, mint: random{}, entries: entries, asked: map[string][]string{}}
	v.List()
	v.Redactor()
	for name, e := range entries {
		switch e.Kind {
		case KindPassword:
			v.Password(name)
		case KindBytes:
			v.Bytes(name, len(e.Raw))
		case KindFernet:
			v.FernetKeys(name)
		case KindSSH:
			v.SSHKey(name)
		case KindCertificate:
			v.Certificate(name, e.SANs...)
		}
		if err := v.rotate(name); err != nil {
			t.Logf("%s: %v", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	opts := Options{Cloud: "web", Dir: dir, Identity: Identity{Path: filepath.Join(dir, IdentityName)}}
	s, err := Open(opts)
	if err != nil {
		f.Fatal(err)
	}
	s.Password("p")
	if err := s.Save(f.Context()); err != nil {
		f.Fatal(err)
	}
	sealed, err := os.ReadFile(s.path())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add([]byte("age-encryption.org/v1\n-> X25519 \n--- \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := s.decrypt(data)
		if (err == nil) != (sha256.Sum256(data) == s.read) || (err == nil) != (entries != nil) {
			t.Errorf("a changed file was taken, or the true one refused: %v", err)
		}
	})
}

func TestForeignPlainTextIsRefusedWithoutQuotingIt(t *testing.T) {
	const good = `{"name":"a","kind":"password","generation":1,"created":"2026-01-01T00:00:00Z","text":"hunter2"}`
	for _, c := range []struct{ rule, plain, want string }{
		{"a later format", `{"version":3,"entries":[],"new":"hunter2"}`, "format 3 and this updraft knows 2"},
		{"an unknown field", `{"version":1,"hunter2":1}`, "not written by updraft"},
		{"a wrong type", `{"version":1,"entries":"hunter2"}`, "not written by updraft"},
		{"something after the end", `{"version":1,"entries":[]} hunter2`, "not written by updraft"},
		{"no JSON", `hunter2`, "not written by updraft"},
		{"a secret twice", `{"version":1,"entries":[` + good + `,` + good + `]}`, "the secret a twice"},
		{"an unknown kind", `{"version":1,"entries":[` + strings.Replace(good, "password", "hunter2", 1) + `]}`, "a kind that this updraft does not know"},
		{"no value", `{"version":1,"entries":[` + strings.Replace(good, "hunter2", "", 1) + `]}`, "not complete"},
		{"a placeholder", `{"version":1,"entries":[` + strings.Replace(good, "hunter2", stand{}.password("a"), 1) + `]}`, "not complete"},
		{"an improper name", `{"version":1,"entries":[` + strings.Replace(good, `"a"`, `"hunter2 "`, 1) + `]}`, "no proper name"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := decode([]byte(c.plain))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPlaceholdersAreNeverEncoded(t *testing.T) {
	p, err := Plan(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p.Password("a")
	if _, err := encode(p.entries); err == nil {
		t.Error("a placeholder was encoded")
	}
}

func TestAuthorityOfFormat1WithPredecessorsIsInThePhaseThatIssues(t *testing.T) {
	s, err := Open(Options{Cloud: "web", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	old := s.CA().Cert
	s.entries[CAName].Older = old
	if s.Phase() != PhaseIssue || s.entries[CAName].check() != nil {
		t.Errorf("it is in phase %d", s.Phase())
	}
	if !s.Advance() || s.Phase() != PhaseForget || s.CA().Bundle() != old {
		t.Errorf("it goes on to phase %d", s.Phase())
	}
}
