package testvm

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
)

func TestTheArchiveIsOneThatCPIOReads(t *testing.T) {
	var buf bytes.Buffer
	err := writeCPIO(&buf, []entry{
		{"dir", fs.ModeDir | 0o755, nil},
		{"dir/odd", 0o644, []byte("12345")},
		{"link", fs.ModeSymlink | 0o777, []byte("dir/odd")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := buf.Len() % 4; n != 0 {
		t.Errorf("%d bytes over", n)
	}
	want := "070701" + "00000001" + "000041ed" + strings.Repeat("0", 16) + "00000001" + strings.Repeat("0", 48) + "00000004" + "00000000" + "dir\x00"
	if got := buf.String(); !strings.HasPrefix(got, want) {
		t.Errorf("first header:\n%q, want\n%q", got[:len(want)], want)
	}
	if !strings.Contains(buf.String(), "TRAILER!!!\x00") {
		t.Error("the end is not marked")
	}
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed")
	}
	dir := t.TempDir()
	cmd := exec.Command(tool, "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &buf
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "link")); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestTheScriptsAreShell(t *testing.T) {
	for name, text := range map[string]string{"init": initScript, "dhcp": dhcpScript} {
		cmd := exec.Command("sh", "-n")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if !strings.Contains(initScript, `echo "`+Ready+" ") {
		t.Error("nothing says that the VM is ready")
	}
}

func TestTheImageIsThereOnceItIsDescribed(t *testing.T) {
	b := Builder{Dir: t.TempDir()}
	if r, err := b.Observe(t.Context()); err != nil || r.Status != drift.Absent {
		t.Errorf("not built: %v, %v", r, err)
	}
	if err := os.MkdirAll(b.path(), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Observe(t.Context()); err != nil || r.Status != drift.Absent {
		t.Errorf("half built: %v, %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(b.path(), manifestName), []byte(`{"kernel":"k"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Observe(t.Context()); err != nil || r.Status != drift.InSync {
		t.Errorf("built: %v, %v", r, err)
	}
	if i, err := b.Image(); err != nil || i.Kernel != filepath.Join(b.path(), "k") {
		t.Errorf("%+v, %v", i, err)
	}
	other := b
	other.Suite = "bookworm"
	if other.Tag() == b.Tag() {
		t.Error("another suite makes the same image")
	}
}

func TestPruneKeepsTheImageOfToday(t *testing.T) {
	b := Builder{Dir: t.TempDir()}
	old := filepath.Join(b.Dir, "testvm-0123456789abcdef")
	for _, dir := range []string{old, b.path(), filepath.Join(b.Dir, "store")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Prune(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.Dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
