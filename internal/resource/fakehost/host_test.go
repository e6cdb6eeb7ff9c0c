package fakehost_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
)

func run(t *testing.T, h *fakehost.Host, name string, args ...string) error {
	t.Helper()
	_, err := h.Run(t.Context(), resource.Command{Name: name, Args: args})
	return err
}

func TestWhatIsNotKnownIsRefusedAndKept(t *testing.T) {
	h := fakehost.New()
	for _, line := range [][]string{{"frobnicate"}, {"useradd", "--frob", "x"}, {"mount", "/dev/x"}} {
		if err := run(t, h, line[0], line[1:]...); err == nil {
			t.Errorf("%v ran", line)
		}
	}
	if n := len(h.Refused()); n != 3 {
		t.Errorf("%d refusals are kept, want 3", n)
	}
}

func TestACommandThatIsTakenAwayIsMissing(t *testing.T) {
	h := fakehost.New()
	h.Uninstall("useradd")
	if err := run(t, h, "useradd", "x"); !errors.Is(err, fs.ErrNotExist) || len(h.Refused()) != 0 {
		t.Errorf("error is %v, refused %v", err, h.Refused())
	}
}

func TestACommandThatOnlyReadsMayNotWrite(t *testing.T) {
	h := fakehost.New()
	h.Handle("sly", func(_ context.Context, h *fakehost.Host, _ resource.Command) (resource.Output, error) {
		return resource.Output{}, h.WriteFile("/etc/x", nil, resource.Access{})
	})
	if _, err := h.Run(t.Context(), resource.Command{Name: "sly", Reads: true}); err == nil || len(h.Refused()) != 1 {
		t.Errorf("error is %v, refused %v", err, h.Refused())
	}
}

func TestAfterAPowerCutNothingWorksUntilThePowerIsBack(t *testing.T) {
	h := fakehost.New()
	write := func(p string) error { return h.WriteFile(p, nil, resource.Access{}) }
	h.CutAfter(1)
	if err := write("/etc/a"); err != nil {
		t.Fatal(err)
	}
	if err := write("/etc/b"); !errors.Is(err, fakehost.ErrPowerCut) {
		t.Errorf("error is %v", err)
	}
	if _, err := h.ReadFile("/etc/a"); !errors.Is(err, fakehost.ErrPowerCut) {
		t.Errorf("error is %v", err)
	}
	h.PowerOn()
	if _, err := h.Lstat("/etc/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the change that was cut off took place: %v", err)
	}
}

func TestTheFileSystemIsStrict(t *testing.T) {
	h := fakehost.New()
	access := resource.Access{Mode: 0o644}
	for name, err := range map[string]error{
		"a file without its directory": h.WriteFile("/none/x", nil, access),
		"a file over a directory":      h.WriteFile("/etc", nil, access),
		"a relative path":              h.WriteFile("etc/x", nil, access),
		"a new file of the kernel":     h.WriteFile("/proc/sys/x", nil, access),
		"removing a full directory":    h.Remove("/etc"),
		"a directory twice":            h.Mkdir("/etc", access),
		"a link over a file":           h.Symlink("x", "/etc/hosts"),
		"a kernel file that is none":   h.WriteKernel("/etc/hosts", nil),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestSymlinksAreFollowedAsByTheKernel(t *testing.T) {
	h := fakehost.New()
	_ = h.Symlink("etc", "/conf")
	_ = h.Symlink("/loop", "/loop")
	if data, err := h.ReadFile("/conf/hostname"); string(data) != "fake\n" {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := h.Stat("/loop"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a loop gives %v", err)
	}
}

func TestStringShowsModesOwnersAndText(t *testing.T) {
	h := fakehost.New()
	_ = h.WriteFile("/etc/x", []byte("one\ntwo"), resource.Access{Mode: 0o4750, UID: 33, GID: 4711})
	const want = "-4750 www-data:4711 /etc/x\n    one\n    two\\\n"
	if !strings.Contains(h.String(), want) {
		t.Errorf("host does not show %q", want)
	}
}
