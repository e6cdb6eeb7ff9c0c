package authkey_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/authkey"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaNbXGx1Uk7V4cW6vu/3sYqO0mPDW4yHfVHFgLLFVvD"

func TestALinkOutOfTheHomeIsRefusedAndItsTargetLeftAlone(t *testing.T) {
	dir := t.TempDir()
	uid := os.Getuid()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/passwd", strings.ReplaceAll("bob:x:UID:UID::/home/bob:/bin/sh\n", "UID", strconv.Itoa(uid)))
	write("root/.ssh/authorized_keys", "root's\n")
	write("home/bob/.profile", "")
	if err := os.Symlink("../../root/.ssh", filepath.Join(dir, "home/bob/.ssh")); err != nil {
		t.Fatal(err)
	}
	h, err := hostos.New(hostos.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r := &authkey.Resource{User: "bob", PublicKey: key}
	if err := r.Apply(t.Context(), h, drift.Missing(), resource.Cause{}); err == nil {
		t.Error("apply followed the link")
	}
	if data, _ := h.ReadFile("/root/.ssh/authorized_keys"); string(data) != "root's\n" {
		t.Errorf("the file of another is now %q", data)
	}
}

func TestAHomeOfAnotherIsNotTouched(t *testing.T) {
	h := fakehost.New()
	setup := resourcetest.Steps(
		resourcetest.RunCommand("useradd", "--create-home", "alice"),
		resourcetest.RunCommand("useradd", "--no-create-home", "--home-dir", "/home/alice", "mallory"))
	if err := setup(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	before := h.String()
	r := &authkey.Resource{User: "mallory", PublicKey: key}
	if err := r.Apply(t.Context(), h, drift.Missing(), resource.Cause{}); err == nil || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("error is %v", err)
	}
	if h.String() != before {
		t.Error("the host was changed")
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct{ name, user, key, options, field string }{
		{"a good key", "bob", key + " me", `command="a b",no-pty`, ""},
		{"no user", "", key, "", "user"},
		{"options in front of the key", "bob", "no-pty " + key, "", "key"},
		{"two lines", "bob", key + "\n" + key, "", "key"},
		{"another type than the blob's", "bob", "ssh-rsa " + strings.Fields(key)[1], "", "key"},
		{"not base64", "bob", "ssh-ed25519 !!!", "", "key"},
		{"two words of options", "bob", key, "no-pty no-x", "options"},
		{"a quote that stays open", "bob", key, `from="x`, "options"},
		{"options that break the line", "bob", key, "no-pty\nssh-rsa", "options"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := (&authkey.Resource{User: c.user, PublicKey: c.key, Options: c.options}).Validate()
			if (c.field == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), c.field+":") {
				t.Errorf("error is %v, want one of field %q", err, c.field)
			}
		})
	}
}
