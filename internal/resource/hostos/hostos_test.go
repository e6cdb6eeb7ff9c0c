package hostos_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// below returns a host whose root is a temporary directory, and that directory.
func below(t *testing.T) (*hostos.Host, string) {
	t.Helper()
	dir := t.TempDir()
	h, err := hostos.New(hostos.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, dir
}

// mine is access that needs no root.
func mine(mode uint32) resource.Access {
	return resource.Access{Mode: mode, UID: os.Getuid(), GID: os.Getgid()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriteFileReplacesWholeWithModeAndLeavesNothingElse(t *testing.T) {
	h, dir := below(t)
	must(t, os.WriteFile(filepath.Join(dir, ".f.updraft-tmp"), []byte("left by a kill"), 0o600))
	must(t, h.WriteFile("/f", []byte("one"), mine(0o4751)))
	must(t, h.WriteFile("/f", []byte("two"), mine(0o640)))
	fi, err := h.Lstat("/f")
	must(t, err)
	if fi.Mode != 0o640 || fi.Size != 3 || fi.Type != resource.Regular || fi.UID != os.Getuid() {
		t.Errorf("file is %+v", fi)
	}
	names, err := h.ReadDir("/")
	must(t, err)
	if got := strings.Join(names, " "); got != "f" {
		t.Errorf("directory holds %s", got)
	}
}

func TestWriteFileKeepsTheOldFileWhenItFails(t *testing.T) {
	h, dir := below(t)
	must(t, os.MkdirAll(filepath.Join(dir, "d/sub"), 0o755))
	if err := h.WriteFile("/d", []byte("x"), mine(0o644)); err == nil {
		t.Error("a directory was replaced by a file")
	} else if strings.Contains(err.Error(), "updraft-tmp") || !strings.Contains(err.Error(), "/d: ") {
		t.Errorf("the error names another file: %v", err)
	}
	if err := h.WriteFile("/none/f", nil, mine(0o644)); err == nil || strings.Contains(err.Error(), "updraft-tmp") {
		t.Errorf("the error names another file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".d.updraft-tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is left: %v", err)
	}
}

func TestRemoveTakesLeftoversOfAKillAlong(t *testing.T) {
	h, dir := below(t)
	must(t, os.WriteFile(filepath.Join(dir, ".f.updraft-tmp"), nil, 0o600))
	if err := h.Remove("/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if names, _ := h.ReadDir("/"); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestSpecialBitsGoBothWays(t *testing.T) {
	h, _ := below(t)
	must(t, h.Mkdir("/d", mine(0o1750)))
	for _, mode := range []uint32{0o2755, 0o1777, 0o700} {
		must(t, h.Chmod("/d", fs.FileMode(mode)))
		if fi, _ := h.Stat("/d"); fi.Mode != mode || fi.Type != resource.Directory {
			t.Errorf("mode is %04o %v, want %04o", fi.Mode, fi.Type, mode)
		}
	}
}

func TestSymlinkIsReplacedButAFileIsNot(t *testing.T) {
	h, _ := below(t)
	must(t, h.Symlink("/nowhere", "/l"))
	must(t, h.Symlink("else", "/l"))
	if got, _ := h.Readlink("/l"); got != "else" {
		t.Errorf("link is %q", got)
	}
	must(t, h.WriteFile("/f", nil, mine(0o600)))
	if err := h.Symlink("x", "/f"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error is %v", err)
	}
}

func TestNoPathLeadsOutOfTheRoot(t *testing.T) {
	h, dir := below(t)
	out := t.TempDir()
	must(t, os.WriteFile(filepath.Join(out, "secret"), []byte("s"), 0o600))
	must(t, os.Symlink(out, filepath.Join(dir, "way")))
	if _, err := h.ReadFile("/way/secret"); err == nil {
		t.Error("read through a symlink that leads out")
	}
	if err := h.WriteFile("/way/new", nil, mine(0o600)); err == nil {
		t.Error("wrote through a symlink that leads out")
	}
	if _, err := h.ReadFile("/../secret"); err == nil {
		t.Error("read above the root")
	}
	if _, err := h.Run(t.Context(), resource.Command{Name: "true"}); err == nil {
		t.Error("a command ran below another root")
	}
	if _, err := h.ReadFile("relative"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a relative path gives %v", err)
	}
}

func TestConfineRefusesLinksOutAndHardLinks(t *testing.T) {
	h, dir := below(t)
	must(t, os.MkdirAll(filepath.Join(dir, "home/bob"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "shadow"), []byte("s"), 0o600))
	must(t, os.Symlink("../../shadow", filepath.Join(dir, "home/bob/sym")))
	must(t, os.Link(filepath.Join(dir, "shadow"), filepath.Join(dir, "home/bob/hard")))
	must(t, h.Confine("/home/bob", func(f resource.Files) error {
		if _, err := f.ReadFile("/home/bob/sym"); err == nil {
			t.Error("read a file outside by a symlink")
		}
		if _, err := f.ReadFile("/shadow"); err == nil {
			t.Error("read a file outside by its path")
		}
		if _, err := f.ReadFile("/home/bobby"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a neighbour with the same beginning gives %v", err)
		}
		if err := f.Chown("/home/bob/hard", os.Getuid(), os.Getgid()); err == nil {
			t.Error("gave away a file with another name")
		}
		if err := f.Chmod("/home/bob/hard", 0o666); err == nil {
			t.Error("changed a file with another name")
		}
		must(t, f.Mkdir("/home/bob/.ssh", mine(0o700)))
		must(t, f.WriteFile("/home/bob/.ssh/k", []byte("k"), mine(0o600)))
		return f.WriteFile("/home/bob/sym", []byte("mine"), mine(0o600))
	}))
	if data, _ := h.ReadFile("/shadow"); string(data) != "s" {
		t.Errorf("the file outside is now %q", data)
	}
	if data, _ := h.ReadFile("/home/bob/.ssh/k"); string(data) != "k" {
		t.Errorf("the file inside is %q", data)
	}
}

func TestChownAndChmodDoNotFollowSymlinks(t *testing.T) {
	h, _ := below(t)
	must(t, h.WriteFile("/f", nil, mine(0o600)))
	must(t, h.Symlink("f", "/l"))
	if err := h.Chmod("/l", 0o777); err == nil {
		t.Error("chmod of a symlink says nothing")
	}
	must(t, h.Chown("/l", os.Getuid(), os.Getgid()))
	if fi, _ := h.Stat("/f"); fi.Mode != 0o600 {
		t.Errorf("the target's mode is %04o", fi.Mode)
	}
}

func TestMemoLoadsOnceAndForgetsOnChange(t *testing.T) {
	h, _ := below(t)
	var loads atomic.Int32
	load := func() (any, error) { return loads.Add(1), nil }
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { _, _ = h.Memo("k", load) })
	}
	wg.Wait()
	if v, _ := h.Memo("k", load); v != int32(1) {
		t.Errorf("value is %v after many asked at once", v)
	}
	must(t, h.WriteFile("/f", nil, mine(0o600)))
	if v, _ := h.Memo("k", load); v != int32(2) {
		t.Errorf("value is %v after a change", v)
	}
}

func TestALoadThatBeganBeforeAChangeIsNotKept(t *testing.T) {
	h, _ := below(t)
	_, err := h.Memo("k", func() (any, error) { return "old", h.WriteFile("/f", nil, mine(0o600)) })
	must(t, err)
	if v, _ := h.Memo("k", func() (any, error) { return "new", nil }); v != "new" {
		t.Errorf("value is %v", v)
	}
}

// whole returns a host on the real root, and what it logs.
func whole(t *testing.T) (*hostos.Host, func() string) {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	h, err := hostos.New(hostos.Options{Log: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, s)
	}})
	must(t, err)
	return h, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "|")
	}
}

func sh(script string) resource.Command {
	return resource.Command{Name: "sh", Args: []string{"-c", script}}
}

func TestRunGivesAMinimalEnvironmentAndStandardInput(t *testing.T) {
	t.Setenv("LEAKED", "yes")
	h, log := whole(t)
	c := sh(`cat; echo "$LC_ALL $HOME ${LEAKED:-no} $MORE $PWD" >&2; printf end`)
	c.Stdin, c.Env = []byte("in\n"), []string{"MORE=more"}
	out, err := h.Run(t.Context(), c)
	must(t, err)
	if string(out.Stdout) != "in\nend" || string(out.Stderr) != "C /root no more /\n" {
		t.Errorf("output is %q, %q", out.Stdout, out.Stderr)
	}
	for _, line := range []string{"in", "end", "C /root no more /"} {
		if !strings.Contains(log(), line) {
			t.Errorf("log %q lacks %q", log(), line)
		}
	}
}

func TestRunTellsStatusAndLastWords(t *testing.T) {
	h, _ := whole(t)
	_, err := h.Run(t.Context(), sh("echo out; echo why >&2; exit 3"))
	var exit *resource.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || exit.Stderr != "why" {
		t.Errorf("error is %v", err)
	}
	_, err = h.Run(t.Context(), sh("kill -9 $$"))
	if !errors.As(err, &exit) || exit.Code != -1 {
		t.Errorf("error is %v", err)
	}
	_, err = h.Run(t.Context(), resource.Command{Name: "updraft-no-such-command"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

func TestRunKeepsOneMebibyteOfEachOutput(t *testing.T) {
	h, _ := whole(t)
	c := sh("head -c 3000000 /dev/zero | tr '\\0' x")
	c.Quiet = true
	out, err := h.Run(t.Context(), c)
	must(t, err)
	if len(out.Stdout) != 1<<20 {
		t.Errorf("kept %d bytes", len(out.Stdout))
	}
}

func TestRunKillsTheWholeGroup(t *testing.T) {
	h, _ := whole(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("deadline of the step")
	done := make(chan error)
	go func() {
		_, err := h.Run(ctx, sh(fmt.Sprintf("sleep 600 & echo $! > %s; wait", pidFile)))
		done <- err
	}()
	pid := awaitPid(t, pidFile)
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatal("a process of the group is left")
		}
	}
}

func awaitPid(t *testing.T, file string) (pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		data, _ := os.ReadFile(file)
		if n, _ := fmt.Sscanf(string(data), "%d\n", &pid); n == 1 {
			return pid
		}
	}
	t.Fatal("the command did not begin")
	return 0
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestCommandsForgetUnlessTheyOnlyRead(t *testing.T) {
	h, _ := whole(t)
	loads := 0
	load := func() (any, error) { loads++; return nil, nil }
	for _, reads := range []bool{true, true, false} {
		_, _ = h.Memo("k", load)
		_, err := h.Run(t.Context(), resource.Command{Name: "true", Reads: reads})
		must(t, err)
	}
	_, _ = h.Memo("k", load)
	if loads != 2 {
		t.Errorf("loaded %d times, want 2", loads)
	}
}

func TestLogsOfTwoStepsAreApart(t *testing.T) {
	h, log := whole(t)
	var other []string
	o := h.WithLog(func(s string) { other = append(other, s) })
	o.Logf("two\nlines")
	h.Logf("mine")
	if log() != "mine" || strings.Join(other, "|") != "two|lines" {
		t.Errorf("logs are %q and %q", log(), other)
	}
}
