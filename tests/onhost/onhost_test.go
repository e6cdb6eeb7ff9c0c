// Package onhost tries every kind of resource on the host that it runs on, with
// real systemd, apt, nft and kernel, and leaves that host changed.
//
// So it refuses every host but a throwaway one of the lab: tests/e2e raises it,
// carries the test binary in and runs it there. Nothing is passed over: where
// the host lacks what a case needs, the error that people get must tell them so.
package onhost

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/netif"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

// throwaway skips the test unless this host may be broken: who runs it says so,
// its name says so, and it is a container.
func throwaway(t *testing.T) *hostos.Host {
	t.Helper()
	name, _ := os.ReadFile("/etc/hostname")               // missing means no
	container, _ := os.ReadFile("/run/systemd/container") // missing means no
	if os.Getenv("UPDRAFT_THROWAWAY") != "1" || !strings.HasPrefix(string(name), "throwaway") || len(container) == 0 {
		t.Skip("this is no throwaway host of the lab; tests/e2e runs it on one")
	}
	h, err := hostos.New(hostos.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEveryKind(t *testing.T) {
	h := throwaway(t)
	if err := resourcetest.RunCommand("systemctl", "start", "systemd-networkd.service")(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	for _, kind := range all.Registry().Kinds() {
		for _, c := range cases.For(kind.Name) {
			name := kind.Name + "/" + c.Name
			t.Run(name, func(t *testing.T) {
				t.Cleanup(func() {
					if t.Skipped() {
						t.Error("a case was skipped")
					}
				})
				h := h.WithLog(func(line string) { t.Log(line) })
				if f := otherwise[name]; f != nil {
					f(t, h, c)
				} else {
					whole(t, h, c)
				}
			})
		}
	}
}

// TestNetworkdLeavesAddressesOfOthersAlone holds the interface kind to that in
// all that lets networkd configure an interface anew.
func TestNetworkdLeavesAddressesOfOthersAlone(t *testing.T) {
	h := throwaway(t)
	run := resourcetest.RunCommand
	r := &netif.Resource{Name: "others0", Addresses: []string{"10.89.77.5/24"}}
	changed := &netif.Resource{Name: "others0", Addresses: []string{"10.89.77.6/24"}}
	for _, step := range []struct {
		name string
		do   func(context.Context, resource.Host) error
		want string
	}{
		{"an interface of others", resourcetest.Steps(
			run("systemctl", "start", "systemd-networkd.service"),
			run("ip", "link", "add", "name", "others0", "type", "veth", "peer", "name", "others0p"),
			run("ip", "address", "add", "10.89.77.100/32", "dev", "others0"),
		), "10.89.77.100/32"},
		{"taken over", apply(r), "10.89.77.100/32 10.89.77.5/24"},
		{"drifted and mended", resourcetest.Steps(run("ip", "address", "delete", "10.89.77.5/24", "dev", "others0"), apply(r)), "10.89.77.100/32 10.89.77.5/24"},
		{"given another address", apply(changed), "10.89.77.100/32 10.89.77.6/24"},
	} {
		if err := step.do(t.Context(), h); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		out, err := h.Run(t.Context(), resource.Command{Name: "ip", Args: []string{"-4", "-brief", "address", "show", "others0"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(string(out.Stdout))[2:], " "); got != step.want {
			t.Errorf("%s: it has %s, want %s", step.name, got, step.want)
		}
	}
}

// apply returns a step that applies a resource.
func apply(r resource.Resource) func(context.Context, resource.Host) error {
	return func(ctx context.Context, h resource.Host) error {
		rep, err := r.Observe(ctx, h)
		if err != nil {
			return err
		}
		return r.Apply(ctx, h, rep, resource.Cause{})
	}
}

// whole runs the case as it is.
func whole(t *testing.T, h resource.Host, c resourcetest.Case) {
	t.Helper()
	if c.Real.Skip != "" {
		t.Fatalf("nothing says what is held of a case that cannot be run: %s", c.Real.Skip)
	}
	resourcetest.OnHostWith(t, h, c, snapshot)
}

// same holds the host to be as the snapshot.
func same(t *testing.T, before string) {
	t.Helper()
	if diff := cmp.Diff(before, snapshot()); diff != "" {
		t.Errorf("the host is not as it was (-before +after):\n%s", diff)
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
		data, _ := os.ReadFile(file) // missing is as good as empty
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
		data, _ := os.ReadFile(path) // gone since
		content = fmt.Sprintf("%x", sha256.Sum256(data))
	case fs.ModeSymlink:
		content, _ = os.Readlink(path) // gone since
	}
	return fmt.Sprintf("%v %d:%d %s %s\n", fi.Mode(), st.Uid, st.Gid, path, content)
}
