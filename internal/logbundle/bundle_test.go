package logbundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// vault has one secret of every kind.
func vault(t *testing.T) *secret.Store {
	t.Helper()
	dir := t.TempDir()
	s, err := secret.Open(secret.Options{Cloud: "test", Dir: dir, Identity: secret.Identity{Path: path.Join(dir, "identity")}})
	if err != nil {
		t.Fatal(err)
	}
	s.Password("database-nova")
	s.Bytes("salt", 32)
	s.FernetKeys("keystone-fernet")
	s.SSHKey("nova-ssh")
	s.Certificate("haproxy", "10.88.0.10")
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// leaky is a host whose every answer is full of the secrets, in many forms.
type leaky struct {
	secrets []string
	broken  string // the script with this text fails
}

func (l leaky) run(_ context.Context, host, script string, out io.Writer) error {
	if l.broken != "" && strings.Contains(script, l.broken) {
		return errors.New("exit status 1")
	}
	if strings.Contains(script, "tar -cf") {
		return l.files(out)
	}
	for i := range 2000 { // more than is filtered at a time
		for _, s := range l.secrets {
			if _, err := fmt.Fprintf(out, "%s line %d %s and %s\n", host, i, s, forms(s)[i%5]); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(out, "kernel: Out of memory: Killed process 42 (mariadbd)\n")
	return err
}

// forms are ways to write a secret.
func forms(s string) []string {
	return []string{base64.StdEncoding.EncodeToString([]byte(s)), hex.EncodeToString([]byte(s)), url.QueryEscape(s), base64.URLEncoding.EncodeToString([]byte("x" + s)), "://user:" + s + "@host/"}
}

func (l leaky) files(out io.Writer) error {
	w := tar.NewWriter(out)
	for name, text := range map[string]string{
		"etc/updraft/nova/nova.conf": "[database]\nconnection = mysql://nova:" + l.secrets[0] + "@10.88.0.10/nova\nmax_pool_size = 5\n" +
			"[neutron]\npassword = of somebody else\nmetadata_proxy_shared_secret=likewise\n",
		"etc/updraft/nova/tls.pem":         strings.Join(l.secrets, "\n"),
		"etc/updraft/rabbitmq/login.amqp":  "\x01\x00" + l.secrets[0],
		"etc/../../../outside/the/archive": "harmless\n",
	} {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600, Typeflag: tar.TypeReg}), func() error { _, err := io.WriteString(w, text); return err }()); err != nil {
			return err
		}
	}
	return w.Close()
}

// unpack returns the archive's files, and their names in order.
func unpack(t *testing.T, data []byte) (names []string, files map[string]string) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	in := tar.NewReader(zip)
	for {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
		files[head.Name] = string(text)
	}
}

func TestNoSecretOfTheCloudIsInABundle(t *testing.T) {
	store := vault(t)
	host := leaky{secrets: []string{store.Password("database-nova")}} // one that fits on a line
	for _, i := range store.List() {
		v, err := store.Reveal(i.Name)
		if err != nil {
			t.Fatal(err)
		}
		host.secrets = append(host.secrets, v.Secret...)
	}
	if len(host.secrets) < 6 {
		t.Fatalf("%d secrets prove nothing", len(host.secrets))
	}
	var b bytes.Buffer
	res, err := logbundle.Write(t.Context(), &b, logbundle.Options{
		Name: "test-1", Cloud: "test", At: time.Unix(1_795_000_000, 0), Run: host.run, Redactor: store.Redactor(), Journal: 1 << 20, Version: "1",
		Hosts: []logbundle.Host{{Name: "ctl1", Looks: []logbundle.Look{{File: "ovn.txt", Script: "show"}}}, {Name: "cmp1", Away: "it is off"}},
		Files: []logbundle.File{{Name: "deployer/cloud.yaml", Config: true, Write: func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "cloud: test\nadmin_password: anything\nx: %s\n", host.secrets[0])
			return err
		}}},
		Causes: []logbundle.Cause{{"cmp1 is off " + host.secrets[0], "updraft up starts it"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	names, files := unpack(t, b.Bytes())
	for name, text := range files {
		for _, hit := range store.Redactor().Find([]byte(text)) {
			t.Errorf("%s: %+v", name, hit)
		}
		if !strings.HasPrefix(name, "test-1/") || strings.Contains(name, "..") {
			t.Errorf("%s is outside of the bundle's directory", name)
		}
	}
	if names[0] != "test-1/summary.txt" {
		t.Errorf("the summary is not first: %v", names)
	}
	conf := files["test-1/hosts/ctl1/files/etc/updraft/nova/nova.conf"]
	for _, want := range []string{"max_pool_size = 5\n", "mysql://nova:[withheld]@10.88.0.10/nova\n", "password = [withheld]\n", "metadata_proxy_shared_secret=[withheld]\n"} {
		if !strings.Contains(conf, want) {
			t.Errorf("nova.conf lacks %q:\n%s", want, conf)
		}
	}
	if text := files["test-1/deployer/cloud.yaml"]; !strings.HasPrefix(text, "cloud: test\nadmin_password: [withheld]\nx: [secret ") {
		t.Errorf("the cloud file:\n%s", text)
	}
	if n := len(files["test-1/hosts/ctl1/journal.txt"]); n > 1<<20 || n < 1<<18 {
		t.Errorf("the journal has %d bytes", n)
	}
	_, hasBinary := files["test-1/hosts/ctl1/files/etc/updraft/rabbitmq/login.amqp"]
	if hasBinary {
		t.Error("what is no text is in the bundle")
	}
	summary := files["test-1/summary.txt"]
	for _, want := range []string{"PROBABLE CAUSE\n  ctl1 ran out of memory", "WHAT ELSE IS WRONG\n  cmp1 is off", "NOT COLLECTED\n  cmp1: it is off"} {
		if !strings.Contains(summary, want) {
			t.Errorf("the summary lacks %q:\n%s", want, summary)
		}
	}
	if len(res.Missed) != 1 || res.Files != len(files) {
		t.Errorf("%+v", res)
	}
}

func TestWhatFailsIsSaidAndKeepsNothingElseOut(t *testing.T) {
	store := vault(t)
	var b bytes.Buffer
	res, err := logbundle.Write(t.Context(), &b, logbundle.Options{
		Name: "test-1", Cloud: "test", Run: leaky{secrets: []string{"nothing-secret"}, broken: "nft list"}.run, Redactor: store.Redactor(), Journal: 1 << 20,
		Hosts: []logbundle.Host{{Name: "ctl1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Missed) != 1 || res.Missed[0] != (logbundle.Missed{What: "ctl1/network.txt", Why: "exit status 1"}) {
		t.Errorf("missed: %+v", res.Missed)
	}
	if _, files := unpack(t, b.Bytes()); len(files["test-1/hosts/ctl1/system.txt"]) == 0 {
		t.Error("the rest is not there")
	}
}

func TestABundleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b bytes.Buffer
	if _, err := logbundle.Write(ctx, &b, logbundle.Options{Redactor: vault(t).Redactor()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
