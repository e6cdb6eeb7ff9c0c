package archtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// file is a file that git tracks or would.
type file struct {
	path string // from the repository's root, with slashes
	data []byte
}

// tracked returns every file of the repository that git does not ignore.
func tracked(t *testing.T) []file {
	t.Helper()
	root := repoRoot(t)
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list the repository's files: %v", err)
	}
	var files []file
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{filepath.ToSlash(name), data})
	}
	return files
}

func goFiles(t *testing.T) []file {
	t.Helper()
	var out []file
	for _, f := range tracked(t) {
		if strings.HasSuffix(f.path, ".go") && !strings.Contains(f.path, "testdata/") {
			out = append(out, f)
		}
	}
	return out
}

func repoRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod above this test")
		}
		dir = filepath.Dir(dir)
	}
}

func TestNothingOfOneMachineIsTracked(t *testing.T) {
	// Written in pieces, so that this file does not find itself.
	forbidden := []string{"deb" + ".debian.org", "proxy.golang" + ".org", "registry.npmjs" + ".org", ".." + "/shared", "/work" + "/main", "bash" + "_jobs"}
	for _, f := range tracked(t) {
		if strings.HasPrefix(f.path, ".ci/") {
			continue
		}
		for _, s := range forbidden {
			if bytes.Contains(f.data, []byte(s)) {
				t.Errorf("%s names %q, which belongs to one machine or one company", f.path, s)
			}
		}
	}
}

func TestNoLargeFileIsTracked(t *testing.T) {
	for _, f := range tracked(t) {
		if len(f.data) > 1_000_000 {
			t.Errorf("%s has %d bytes; generate or download it instead", f.path, len(f.data))
		}
	}
}
