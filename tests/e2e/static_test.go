package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// staticLab makes hosts that exist already: a login user that must give a
// password to sudo.
const staticLab = `version: 1
cloud: e2estat
provider: lab
networks: {mgmt: {cidr: 10.89.12.0/24}}
groups:
  node:
    count: 2
    nics: [mgmt]
    resources:
      - user: {name: ops, shell: /bin/bash, password_hash: "%s"}
      - authkey: {user: ops, key: "%s"}
      - file: {path: /etc/sudoers.d/ops, content: "ops ALL=(ALL) ALL\n", mode: "0440"}
`

const staticCloud = `version: 1
cloud: e2eoffice
provider: static
access: {user: ops, identity: %[1]s/key, known_hosts: %[1]s/known, sudo_password_file: %[1]s/password}
networks: {lan: {cidr: 10.89.12.0/24}}
groups:
  web:
    hosts:
      alpha: {address: 10.89.12.11}
      beta: {address: 10.89.12.12}
    resources:
      - file: {path: /etc/office.conf, content: "made by updraft\n", mode: "0600"}
      - file: {path: /etc/motd, content: "office\n"}
      - group: {name: office}
verify:
  - tcp: {target: web, port: 22}
`

// TestHostsThatExistAlready works on hosts of a lab as if they were anybody's:
// by address, as a user with a sudo password, from inside their network.
func TestHostsThatExistAlready(t *testing.T) {
	needLab(t)
	dir := t.TempDir()
	tool := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return strings.TrimSpace(string(out))
	}
	tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "key"))
	hash := tool("openssl", "passwd", "-6", "right")
	labCloud := newCloud(t, "e2estat", fmt.Sprintf(staticLab, hash, strings.TrimSpace(mustRead(t, filepath.Join(dir, "key.pub")))))
	labCloud.run("up")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("password", "right\n")
	write("known", tool("ip", "netns", "exec", "ud-e2estat", "ssh-keyscan", "-t", "ed25519", "10.89.12.11", "10.89.12.12")+"\n")
	write("office.yaml", fmt.Sprintf(staticCloud, dir))
	office := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		all := append([]string{"netns", "exec", "ud-e2estat", program(t), "-f", filepath.Join(dir, "office.yaml"), "--state", filepath.Join(dir, "state")}, args...)
		out, err := exec.CommandContext(ctx, "ip", all...).CombinedOutput()
		return string(out), err
	}
	traces := func() string {
		return labCloud.run("exec", "node", "--", "sh", "-c",
			"find /etc/office.conf /home/ops/.cache/updraft /var/lib/updraft 2>/dev/null; grep -l office /etc/motd /etc/group; true").stdout
	}
	before := traces() // the lab's own updraft keeps originals there, too
	if out, err := office("up"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := office("up"); err != nil || !strings.Contains(out, "No changes") {
		t.Errorf("second up: %v\n%s", err, out)
	}
	if out, err := office("exec", "web", "--", "id", "-un"); err != nil || strings.Count(out, "ops") != 2 {
		t.Errorf("who we are: %v\n%s", err, out)
	}
	if out, err := office("status"); err != nil || strings.Count(out, " up ") != 2 {
		t.Errorf("status: %v\n%s", err, out)
	}
	write("password", "wrong\n")
	start := time.Now()
	if out, err := office("up"); err == nil || !strings.Contains(out, "sudo") || time.Since(start) > time.Minute {
		t.Errorf("a wrong sudo password: %v after %s\n%s", err, time.Since(start), out)
	}
	write("password", "right\n")
	if out, err := office("destroy", "--yes"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left := traces(); sortedLines(left) != sortedLines(before) {
		t.Errorf("destroy left on the hosts:\n%s\nbefore:\n%s", left, before)
	}
}
