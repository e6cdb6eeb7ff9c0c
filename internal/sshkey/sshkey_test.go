package sshkey_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/updraft-cloud/updraft/internal/sshkey"
)

func TestKeysAreReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "id")
	public, err := sshkey.Ensure(path, "updraft-web")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " updraft-web"; got != public {
		t.Errorf("public key %q, want %q", public, got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if keygen, err := exec.LookPath("ssh-keygen"); err == nil {
		out, err := exec.Command(keygen, "-y", "-f", path).CombinedOutput()
		if err != nil || !strings.HasPrefix(public, strings.Join(strings.Fields(string(out))[:2], " ")) {
			t.Errorf("ssh-keygen reads %q, %v", out, err)
		}
	}
}

func TestAKeyIsNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id")
	first, err := sshkey.Ensure(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := sshkey.Ensure(path, "b"); err != nil || again != first {
		t.Errorf("got %q, %v", again, err)
	}
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	if _, err := sshkey.Ensure(path, "c"); err == nil {
		t.Error("a private key without its public half was passed over")
	}
}
