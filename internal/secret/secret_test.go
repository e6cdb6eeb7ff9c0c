package secret_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/updraft-cloud/updraft/internal/secret"
)

// place is a state root with one cloud's directory and a clock.
type place struct {
	root string
	now  time.Time
	t    *testing.T
}

func newPlace(t *testing.T) *place {
	return &place{t.TempDir(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), t}
}

func (p *place) opts() secret.Options {
	return secret.Options{
		Cloud: "web", Dir: filepath.Join(p.root, "clouds", "web"),
		Identity: secret.Identity{Path: filepath.Join(p.root, secret.IdentityName)},
		Now:      func() time.Time { return p.now },
	}
}

func (p *place) file() string { return filepath.Join(p.opts().Dir, secret.FileName) }

func (p *place) open() *secret.Store {
	p.t.Helper()
	s, err := secret.Open(p.opts())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *place) save(s *secret.Store) {
	p.t.Helper()
	if err := s.Save(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

// all asks a source for one secret of every kind and returns what it said.
func all(s secret.Source) []string {
	private, public := s.SSHKey("nova/migration")
	cert, key := s.Certificate("haproxy/api", "10.0.0.10", "api.web.internal")
	ca := s.CA()
	return slices.Concat([]string{
		s.Password("mariadb/root"), s.Password("keystone/admin"), string(s.Bytes("erlang-cookie", 20)),
		private, public, cert, key, ca.Bundle(), ca.Key(),
	}, s.FernetKeys("keystone/fernet"))
}

func TestSecretsStayTheSameUntilTheyAreRotated(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	want := all(s)
	if got := all(s); !slices.Equal(got, want) {
		t.Error("a second question had another answer")
	}
	if !s.Dirty() {
		t.Error("new secrets are not dirty")
	}
	p.save(s)
	if s.Dirty() {
		t.Error("saved secrets are dirty")
	}
	s = p.open()
	if got := all(s); !slices.Equal(got, want) {
		t.Error("secrets differ after they were read back")
	}
	if s.Dirty() {
		t.Error("reading made the store dirty")
	}
	for _, i := range s.List() {
		before := p.open()
		all(before)
		if err := before.Rotate(i.Name); err != nil {
			t.Fatal(err)
		}
		if got := all(before); slices.Equal(got, want) {
			t.Errorf("%s is the same after rotation", i.Name)
		}
	}
}

func TestNothingIsWrittenBeforeSave(t *testing.T) {
	p := newPlace(t)
	all(p.open())
	planned, err := secret.Plan(p.opts())
	if err != nil {
		t.Fatal(err)
	}
	all(planned)
	if list, _ := os.ReadDir(p.root); len(list) != 0 {
		t.Errorf("there is %v", list)
	}
	s := p.open()
	p.save(s) // nothing to save
	if list, _ := os.ReadDir(p.root); len(list) != 0 {
		t.Errorf("there is %v", list)
	}
}

func TestFilesAreForTheOwnerAndHoldNoPlainText(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	all(s)
	p.save(s)
	for _, name := range []string{p.file(), p.opts().Identity.Path} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if hits := s.Redactor().Find(data); hits != nil {
			t.Errorf("%s holds %v", name, hits)
		}
	}
	for _, dir := range []string{p.root, p.opts().Dir} {
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestFormsFitWhereTheyGo(t *testing.T) {
	s := newPlace(t).open()
	if pw := s.Password("a"); !regexp.MustCompile(`^[A-Za-z0-9]{24,}$`).MatchString(pw) || url.QueryEscape(pw) != pw {
		t.Errorf("a password needs quoting or is short: %d characters", len(pw))
	}
	keys := s.FernetKeys("f")
	if len(keys) != 3 {
		t.Fatalf("%d fernet keys", len(keys))
	}
	for _, k := range keys {
		if raw, err := base64.URLEncoding.DecodeString(k); err != nil || len(raw) != 32 {
			t.Errorf("a fernet key has %d bytes: %v", len(raw), err)
		}
	}
	if keys[0] == keys[1] || keys[1] == keys[2] {
		t.Error("fernet keys repeat")
	}
	private, public := s.SSHKey("k")
	if !strings.HasPrefix(private, "-----BEGIN OPENSSH PRIVATE KEY-----") || !strings.HasPrefix(public, "ssh-ed25519 AAAA") {
		t.Error("the SSH key is not in the formats of OpenSSH")
	}
}

func TestFernetRotationIsThatOfKeystone(t *testing.T) {
	s := newPlace(t).open()
	before := s.FernetKeys("f")
	if err := s.Rotate("f"); err != nil {
		t.Fatal(err)
	}
	after := s.FernetKeys("f")
	if after[2] != before[0] {
		t.Error("the staged key did not become the primary one")
	}
	if after[1] != before[2] {
		t.Error("the old primary key cannot decrypt any longer")
	}
	if slices.Contains(before, after[0]) {
		t.Error("no new key is staged")
	}
}

func TestCertificateIsIssuedAnewOnlyWhenItMustBe(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		rule  string
		after time.Duration
		sans  []string
		then  func(*secret.Store) error
		want  bool // a new one
		old   bool // which is told of
	}{
		{rule: "not in the next run", sans: []string{"a.internal", "10.0.0.1"}},
		{rule: "not for another order of its names", sans: []string{"10.0.0.1", "a.internal", "a.internal"}},
		{rule: "not while a third of its life is left", after: 240 * day, sans: []string{"a.internal", "10.0.0.1"}},
		{rule: "in its last third", after: 245 * day, sans: []string{"a.internal", "10.0.0.1"}, want: true, old: true},
		{rule: "when it is over", after: 500 * day, sans: []string{"a.internal", "10.0.0.1"}, want: true, old: true},
		{rule: "for another name", sans: []string{"b.internal", "10.0.0.1"}, want: true},
		{rule: "for one name less", sans: []string{"a.internal"}, want: true},
		{rule: "for another authority", sans: []string{"a.internal", "10.0.0.1"}, want: true,
			then: func(s *secret.Store) error { defer s.Advance(); return s.Rotate("ca") }},
		{rule: "not for an authority that only follows", sans: []string{"a.internal", "10.0.0.1"},
			then: func(s *secret.Store) error { return s.Rotate("ca") }},
		{rule: "when it was rotated", sans: []string{"a.internal", "10.0.0.1"}, want: true,
			then: func(s *secret.Store) error { return s.Rotate("c") }},
		{rule: "when all were rotated", sans: []string{"a.internal", "10.0.0.1"}, want: true,
			then: func(s *secret.Store) error { return s.Rotate(secret.AllCertificates) }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := newPlace(t)
			s := p.open()
			cert, key := s.Certificate("c", "a.internal", "10.0.0.1")
			p.save(s)
			p.now = p.now.Add(c.after)
			s = p.open()
			if c.then != nil {
				if err := c.then(s); err != nil {
					t.Fatal(err)
				}
			}
			cert2, key2 := s.Certificate("c", c.sans...)
			if err := s.Err(); err != nil {
				t.Fatal(err)
			}
			if (cert2 != cert) != c.want || (key2 != key) != c.want {
				t.Errorf("issued anew: %v", cert2 != cert)
			}
			verify(t, s.CA().Cert, cert2, c.sans[0], p.now)
			if told := s.Renewals(); (len(told) == 1 && told[0].Name == "c") != c.old {
				t.Errorf("it tells of %v", told)
			}
		})
	}
}

func verify(t *testing.T, roots, cert, name string, now time.Time) {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(roots)) {
		t.Fatal("no authority")
	}
	block, _ := pem.Decode([]byte(cert))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: now}); err != nil {
		t.Error(err)
	}
}

func TestPlaceholdersAreTheSameEveryTimeAndNeverSaved(t *testing.T) {
	p := newPlace(t)
	plan := func() []string {
		t.Helper()
		s, err := secret.Plan(p.opts())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Err(); err != nil {
				t.Error(err)
			}
		}()
		return all(s)
	}
	first := plan()
	p.now = p.now.Add(time.Hour)
	if got := plan(); !slices.Equal(got, first) {
		t.Error("two plans differ")
	}
	if !secret.IsPlaceholder(first[0]) || !secret.IsPlaceholder(first[len(first)-1]) {
		t.Error("a placeholder does not look like one")
	}
	if _, ok := any(&secret.Planned{}).(interface{ Save(context.Context) error }); ok {
		t.Error("a plan's secrets can be saved")
	}
	s := p.open()
	want := all(s)
	p.save(s)
	if got := plan(); !slices.Equal(got, want) {
		t.Error("a plan does not show the secrets that exist")
	}
	before, _ := os.ReadFile(p.file())
	p.now = p.now.AddDate(0, 11, 0)
	if got := plan(); slices.Equal(got, want) || !slices.Equal(got, plan()) {
		t.Error("a plan does not show that a certificate must be issued anew, or differs from the next")
	}
	if after, _ := os.ReadFile(p.file()); string(after) != string(before) {
		t.Error("a plan wrote")
	}
}

func TestFaultsAreKeptAndStopSave(t *testing.T) {
	for _, c := range []struct {
		rule string
		ask  func(secret.Source)
		want string
	}{
		{"a name has one kind", func(s secret.Source) { s.Password("x"); s.Bytes("x", 3) }, "it is of kind password, and kind bytes is asked for"},
		{"bytes have one length", func(s secret.Source) { s.Bytes("x", 4); s.Bytes("x", 5) }, "it has 4 bytes, and 5 are asked for"},
		{"a length is positive", func(s secret.Source) { s.Bytes("x", 0) }, "0 bytes"},
		{"names are plain", func(s secret.Source) { s.Password("../x") }, "its name must be words"},
		{"no other secret is called like the authority", func(s secret.Source) { s.Password("ca") }, "certificate authority's"},
		{"a certificate has a name", func(s secret.Source) { s.Certificate("x") }, "no name and no address"},
		{"a certificate's names are names", func(s secret.Source) { s.Certificate("x", "a b") }, `"a b" is neither`},
		{"a certificate has one set of names", func(s secret.Source) { s.Certificate("x", "a"); s.Certificate("x", "b") }, "asked for"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := newPlace(t)
			s := p.open()
			c.ask(s)
			if err := s.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err := s.Save(context.Background()); err == nil {
				t.Error("saved after a fault")
			}
			if err := s.Rotate("ca"); err == nil {
				t.Error("rotated after a fault")
			}
		})
	}
	if err := newPlace(t).open().Rotate("nothing"); err == nil || !strings.Contains(err.Error(), "no such secret") {
		t.Errorf("rotating what is not there: %v", err)
	}
}

func TestUpdateOfAnotherProcessIsNotLost(t *testing.T) {
	p := newPlace(t)
	a, b := p.open(), p.open()
	a.Password("x")
	b.Password("x")
	p.save(a)
	if err := b.Save(context.Background()); !errors.Is(err, secret.ErrChanged) {
		t.Errorf("the first file: got %v", err)
	}
	stale := p.open()
	b = p.open()
	a.Password("y")
	b.Password("z")
	p.save(b)
	if err := a.Save(context.Background()); !errors.Is(err, secret.ErrChanged) {
		t.Errorf("a later file: got %v", err)
	}
	if err := stale.Save(context.Background()); !errors.Is(err, secret.ErrChanged) {
		t.Errorf("nothing new, but what is in hand is old: got %v", err)
	}
	if got := p.open().List(); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	b.Password("more")
	if err := os.Remove(p.file()); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(context.Background()); !errors.Is(err, secret.ErrChanged) {
		t.Errorf("a file that went away: got %v", err)
	}
}

func TestDamageIsNamedAndNothingOverwritten(t *testing.T) {
	identity := func(t *testing.T, name string, mode os.FileMode, text string) {
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		rule   string
		damage func(t *testing.T, o secret.Options, file string)
		want   string
	}{
		{"another identity", func(t *testing.T, o secret.Options, _ string) {
			id, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			identity(t, o.Identity.Path, 0o600, id.String())
		}, "add the one they were made with"},
		{"no identity", func(t *testing.T, o secret.Options, _ string) { os.Remove(o.Identity.Path) }, "put it back from a backup"},
		{"an identity that is none", func(t *testing.T, o secret.Options, _ string) {
			identity(t, o.Identity.Path, 0o600, "AGE-SECRET-KEY-1QQQ")
		}, "not an age identity"},
		{"an identity with a passphrase", func(t *testing.T, o secret.Options, _ string) {
			identity(t, o.Identity.Path, 0o600, "age-encryption.org/v1\n-> scrypt")
		}, "without a passphrase"},
		{"an identity for all to read", func(t *testing.T, o secret.Options, _ string) {
			if err := os.Chmod(o.Identity.Path, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "chmod 600"},
		{"an empty file", func(t *testing.T, _ secret.Options, f string) { truncate(t, f, 0) }, "damaged"},
		{"a file cut off in its head", func(t *testing.T, _ secret.Options, f string) { truncate(t, f, 90) }, "damaged"},
		{"a file cut off in its body", func(t *testing.T, _ secret.Options, f string) { truncate(t, f, 400) }, "damaged"},
		{"a file with a changed byte", func(t *testing.T, _ secret.Options, f string) {
			data, _ := os.ReadFile(f)
			data[len(data)/2] ^= 1
			identity(t, f, 0o600, string(data))
		}, "damaged"},
		{"a file with something after its end", func(t *testing.T, _ secret.Options, f string) {
			data, _ := os.ReadFile(f)
			identity(t, f, 0o600, string(data)+"x")
		}, "damaged"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := newPlace(t)
			s := p.open()
			all(s)
			p.save(s)
			c.damage(t, p.opts(), p.file())
			before, _ := os.ReadFile(p.file())
			_, err := secret.Open(p.opts())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), p.root) {
				t.Errorf("got %v, want %q and a path", err, c.want)
			}
			if _, err := secret.Plan(p.opts()); err == nil {
				t.Error("a plan does not mind")
			}
			if after, _ := os.ReadFile(p.file()); string(after) != string(before) {
				t.Error("the file was changed")
			}
			if hits := s.Redactor().Find([]byte(err.Error())); hits != nil {
				t.Errorf("the error quotes %v", hits)
			}
		})
	}
}

func truncate(t *testing.T, name string, size int64) {
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

func TestGivenIdentityIsUsedAndNeverMade(t *testing.T) {
	p := newPlace(t)
	o := p.opts()
	o.Identity = secret.Identity{Path: filepath.Join(t.TempDir(), "mine"), Given: true}
	s, err := secret.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Password("x")
	if err := s.Save(context.Background()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Identity.Path, []byte("# mine\n"+hybrid.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(context.Background()); err != nil {
		t.Fatal(err)
	}
	if again, err := secret.Open(o); err != nil || again.Password("x") != s.Password("x") {
		t.Errorf("cannot read back: %v", err)
	}
	if _, err := os.Stat(p.opts().Identity.Path); err == nil {
		t.Error("another identity was made")
	}
}

func TestManyMayAskAtOnce(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	answers := make([][]string, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = all(s) })
	}
	wg.Wait()
	for _, a := range answers {
		if !slices.Equal(a, answers[0]) {
			t.Error("two had different answers")
		}
	}
}

// The first runs of several clouds may meet while the state has no identity.
func TestAllAgreeOnOneIdentity(t *testing.T) {
	p := newPlace(t)
	names := []string{"a", "b", "c", "d", "e", "f"}
	opts := func(name string) secret.Options {
		o := p.opts()
		o.Dir = filepath.Join(p.root, "clouds", name)
		return o
	}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			s, err := secret.Open(opts(name))
			if err != nil {
				t.Error(err)
				return
			}
			s.Password("x")
			if err := s.Save(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		if s, err := secret.Open(opts(name)); err != nil || len(s.List()) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValueIsShownOnRequest(t *testing.T) {
	s := newPlace(t).open()
	private, public := s.SSHKey("s")
	cert, key := s.Certificate("c", "a.internal")
	ca := s.CA()
	for _, c := range []struct {
		name   string
		secret []string
		public string
	}{
		{"p", []string{s.Password("p")}, ""},
		{"b", []string{base64.StdEncoding.EncodeToString(s.Bytes("b", 9))}, ""},
		{"f", s.FernetKeys("f"), ""},
		{"s", []string{private}, public},
		{"c", []string{key}, cert},
		{"ca", []string{ca.Key()}, ca.Bundle()},
	} {
		v, err := s.Reveal(c.name)
		if err != nil || v.Name != c.name || !slices.Equal(v.Secret, c.secret) || v.Public != c.public {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := s.Reveal("x"); err == nil || !strings.Contains(err.Error(), "no such secret") {
		t.Errorf("got %v", err)
	}
}

func TestListShowsNoValues(t *testing.T) {
	s := newPlace(t).open()
	all(s)
	data, err := json.Marshal(s.List())
	if err != nil {
		t.Fatal(err)
	}
	if hits := s.Redactor().Find(data); hits != nil {
		t.Errorf("the list holds %v", hits)
	}
	for _, i := range s.List() {
		if i.Generation != 1 || i.Created.IsZero() || (i.Kind == secret.KindCertificate) != (len(i.SANs) == 2) {
			t.Errorf("got %+v", i)
		}
	}
}
