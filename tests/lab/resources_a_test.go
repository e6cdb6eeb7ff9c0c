package lab_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

// insideVariable is set in the process that runs in the throwaway system.
const insideVariable = "UPDRAFT_TEST_INSIDE"

// enterScript makes a throwaway copy of this system and runs the test binary in
// it: an overlay over the root file system, with namespaces of its own for
// mounts, host name, network and processes. All of it ends with the process.
// What other labs have below /var/lib/updraft meanwhile is hidden.
const enterScript = `set -e
mount -t tmpfs none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mkdir -p "$1/root/run" "$1/root/tmp" "$1/root/var/lib/updraft"
mount -t tmpfs none "$1/root/var/lib/updraft"
cp "$2" "$1/root/updraft-test"
exec chroot "$1/root" /updraft-test -test.v -test.run '^TestKindsInside$'
`

// TestKindsOnARealSystem runs the cases of the kinds that need no running
// systemd against the real commands and the real kernel.
func TestKindsOnARealSystem(t *testing.T) {
	needLab(t)
	self, err := filepath.EvalSymlinks("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "--uts", "--net", "--pid", "--fork",
		"sh", "-c", enterScript, "sh", t.TempDir(), self)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestKindsInside is what runs in the throwaway system.
func TestKindsInside(t *testing.T) {
	if os.Getenv(insideVariable) == "" {
		return // nothing to do outside: TestKindsOnARealSystem runs it
	}
	h, err := hostos.New(hostos.Options{Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{
		"authkey", "directory", "file", "group", "hostname", "hosts", "mount", "symlink", "sysctl", "user",
	} {
		for _, c := range cases.For(kind) {
			t.Run(kind+"/"+c.Name, func(t *testing.T) { resourcetest.OnHostWith(t, h, c, snapshot) })
		}
	}
}

// snapshot tells what the kinds change: files with mode, owner and content, the
// host's name and the mounts. Times and the backups of passwd's tools are left out.
func snapshot() string {
	var b strings.Builder
	for _, root := range []string{"/etc", "/home", "/srv", "/mnt", "/var/lib/updraft", "/var/mail"} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !strings.HasSuffix(path, "-") && path != "/etc/.pwd.lock" {
				b.WriteString(describe(path))
			}
			return nil
		})
	}
	for _, file := range []string{"/proc/sys/kernel/hostname", "/proc/self/mounts", "/proc/sys/net/ipv4/ip_local_port_range"} {
		data, _ := os.ReadFile(file)
		b.Write(data)
	}
	return b.String()
}

func describe(path string) string {
	fi, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	st := fi.Sys().(*syscall.Stat_t)
	content := ""
	switch fi.Mode().Type() {
	case 0:
		data, _ := os.ReadFile(path)
		content = fmt.Sprintf("%x", sha256.Sum256(data))
		if path == "/etc/passwd" || path == "/etc/group" || path == "/etc/shadow" || path == "/etc/gshadow" {
			content = string(data)
		}
	case fs.ModeSymlink:
		content, _ = os.Readlink(path)
	}
	return fmt.Sprintf("%v %d:%d %s %s\n", fi.Mode(), st.Uid, st.Gid, path, content)
}
