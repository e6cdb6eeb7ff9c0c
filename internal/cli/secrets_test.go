package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/cli"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// kept is the state of a cloud called web with some secrets.
type kept struct {
	t     *testing.T
	state string
	opts  secret.Options
}

func newKept(t *testing.T) *kept {
	k := &kept{t: t, state: t.TempDir()}
	k.opts = secret.Options{
		Cloud: "web", Dir: filepath.Join(k.state, "clouds", "web"),
		Identity: secret.Identity{Path: filepath.Join(k.state, secret.IdentityName)},
	}
	s := k.store()
	s.Password("keystone-admin")
	s.FernetKeys("fernet")
	s.Certificate("haproxy", "10.88.0.10")
	if err := s.Save(context.Background()); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kept) store() *secret.Store {
	k.t.Helper()
	s, err := secret.Open(k.opts)
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// run runs updraft secrets and returns its status and what it said.
func (k *kept) run(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	args = append([]string{"--state", k.state, "secrets", "--cloud", "web"}, args...)
	status = cli.Main(context.Background(), "test", args, strings.NewReader(""), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestSecretsListShowsAllButValues(t *testing.T) {
	k := newKept(t)
	status, out, _ := k.run("list")
	for _, want := range []string{"NAME", "keystone-admin", "fernet", "haproxy", "certificate"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	jsonStatus, text, _ := k.run("list", "--json")
	var list []secret.Info
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 4 || status != 0 || jsonStatus != 0 {
		t.Errorf("%d %d %v: %s", status, jsonStatus, err, text)
	}
	if hits := k.store().Redactor().Find([]byte(out + text)); hits != nil {
		t.Errorf("values are shown: %v", hits)
	}
}

func TestSecretsShowPrintsWhatWasAskedFor(t *testing.T) {
	k := newKept(t)
	s := k.store()
	if _, out, _ := k.run("show", "keystone-admin"); out != s.Password("keystone-admin")+"\n" {
		t.Error("not the password")
	}
	if _, out, _ := k.run("show", "fernet"); out != strings.Join(s.FernetKeys("fernet"), "\n")+"\n" {
		t.Error("not the keys")
	}
	cert, _ := s.Certificate("haproxy", "10.88.0.10")
	if _, out, _ := k.run("show", "haproxy", "--public"); out != cert {
		t.Errorf("not the certificate:\n%s", out)
	}
	if _, out, _ := k.run("export-ca"); out != s.CA().Bundle() {
		t.Errorf("not the authority:\n%s", out)
	}
	if status, out, errs := k.run("show", "keystone-admin", "--public"); status != 1 || out != "" || !strings.Contains(errs, "no public half") {
		t.Errorf("%d: %s", status, errs)
	}
	if status, out, errs := k.run("show", "nothing"); status != 1 || out != "" || !strings.Contains(errs, `no such secret as "nothing"`) {
		t.Errorf("%d: %s", status, errs)
	}
	var v secret.Value
	_, out, _ := k.run("show", "keystone-admin", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Secret[0] != s.Password("keystone-admin") {
		t.Errorf("%v", err)
	}
}

func TestSecretsRotateRotatesAllOrNone(t *testing.T) {
	k := newKept(t)
	before := k.store().Password("keystone-admin")
	if status, _, _ := k.run("rotate", "keystone-admin", "nothing"); status != 1 {
		t.Errorf("status %d", status)
	}
	if k.store().Password("keystone-admin") != before {
		t.Error("one was rotated though the other is not there")
	}
	status, out, errs := k.run("rotate", "keystone-admin", "fernet")
	if status != 0 || !strings.Contains(out, "keystone-admin is of generation 2 now") || !strings.Contains(errs, "next updraft up") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	s := k.store()
	if s.Password("keystone-admin") == before {
		t.Error("it is the same as before")
	}
	if hits := s.Redactor().Find([]byte(out + errs)); hits != nil {
		t.Errorf("values are shown: %v", hits)
	}
}

func TestSecretsRotateWaitsForNobody(t *testing.T) {
	k := newKept(t)
	unlock, err := statedir.Open(k.opts.Dir).Lock(context.Background(), engine.Holder{PID: os.Getpid(), Command: "updraft up"})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if status, _, errs := k.run("rotate", "fernet"); status != 4 || !strings.Contains(errs, "updraft up") {
		t.Errorf("%d: %s", status, errs)
	}
	if status, _, _ := k.run("list"); status != 0 {
		t.Error("looking is not possible either")
	}
}

func TestGivenIdentityIsTheOneThatIsUsed(t *testing.T) {
	k := newKept(t)
	elsewhere := filepath.Join(t.TempDir(), "mine")
	if err := os.Rename(k.opts.Identity.Path, elsewhere); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := k.run("list"); status != 1 || !strings.Contains(errs, "put it back from a backup or name another identity") {
		t.Errorf("%d: %s", status, errs)
	}
	if status, _, errs := k.run("list", "--identity", elsewhere); status != 0 {
		t.Errorf("%d: %s", status, errs)
	}
}

func TestSecretsRotateBeginsToReplaceTheAuthority(t *testing.T) {
	k := newKept(t)
	was := k.store()
	before, _ := was.Certificate("haproxy", "10.88.0.10")
	status, out, errs := k.run("rotate", "ca")
	if status != 0 || !strings.Contains(out, "ca is of generation 2 now") || !strings.Contains(errs, "phase 1 of 3") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	if status, _, errs := k.run("rotate", "ca"); status != 1 || !strings.Contains(errs, "being replaced already") {
		t.Errorf("%d: %s", status, errs)
	}
	if _, out, _ := k.run("export-ca"); strings.Count(out, "BEGIN") != 2 || !strings.HasPrefix(out, was.CA().Cert) {
		t.Errorf("not both authorities:\n%s", out)
	}
	status, out, errs = k.run("rotate", "certs")
	if status != 0 || out != "haproxy is of generation 2 now\n" {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	if after, _ := k.store().Certificate("haproxy", "10.88.0.10"); after == before {
		t.Error("the certificate is the same as before")
	}
}
