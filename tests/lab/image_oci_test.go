package lab_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
)

// small is an image that is quickly built, and has Python code to compile and a
// package that is not really there.
func small() oci.Recipe {
	return oci.Recipe{
		Name: "small", Suite: "trixie", Packages: []string{"busybox-static", "memcached", "python3-pymysql"},
		Provides: []string{"nova-compute-hypervisor"}, Excludes: []string{"/usr/share/zoneinfo/*"},
	}
}

func TestTheSamePackagesMakeTheSameImage(t *testing.T) {
	needLab(t)
	ids := map[string]bool{}
	for range 2 {
		b := oci.Builder{Dir: filepath.Join(t.TempDir(), "images")}
		if err := b.Ensure(t.Context(), small(), t.Logf); err != nil {
			t.Fatal(err)
		}
		images, err := b.List()
		if err != nil || len(images) != 1 {
			t.Fatalf("%+v, %v", images, err)
		}
		ids[images[0].ID] = true
		inspectSmall(t, b)
	}
	if len(ids) != 1 {
		t.Errorf("two builds differ: %v", ids)
	}
}

func inspectSmall(t *testing.T, b oci.Builder) {
	t.Helper()
	roots, _ := filepath.Glob(filepath.Join(b.Store(), "overlay/*/diff"))
	if len(roots) != 1 {
		t.Fatalf("layers: %q", roots)
	}
	for name, there := range map[string]bool{
		"usr/lib/python3/dist-packages/pymysql/__pycache__": true, "usr/bin/busybox": true, "usr/share/doc/memcached/copyright": true, "usr/share/doc/bash/copyright": true,
		"usr/sbin/policy-rc.d": false, "usr/share/man/man1/cat.1.gz": false, "usr/share/doc/bash/changelog.Debian.gz": false, "etc/dpkg/dpkg.cfg.d/99updraft": false, "usr/bin/py3compile.real": false, "var/cache/py3compile": false,
		"dev/null": false, "etc/apt/apt.conf.d/99mmdebstrap": false, "var/log/dpkg.log": false,
	} {
		if _, err := os.Lstat(filepath.Join(roots[0], name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := exec.Command("chroot", roots[0], "id", "-u", "memcache").Output(); err != nil || strings.TrimSpace(string(out)) != "612" {
		t.Errorf("memcache is %s, %v", out, err)
	}
	sboms, _ := filepath.Glob(filepath.Join(b.Dir, "sbom/*"))
	data, err := os.ReadFile(sboms[0])
	if err != nil || !strings.Contains(string(data), "pkg:deb/debian/memcached@") || strings.Contains(string(data), "hypervisor") {
		t.Errorf("list of packages: %v", err)
	}
}

func TestABuildOfAnImageThatWasKilledLeavesNothing(t *testing.T) {
	needLab(t)
	dir := filepath.Join(t.TempDir(), "images")
	if os.Getenv("UPDRAFT_TEST_BUILD_IN") != "" {
		t.Fatal(oci.Builder{Dir: os.Getenv("UPDRAFT_TEST_BUILD_IN")}.Ensure(t.Context(), small(), t.Logf))
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "UPDRAFT_TEST_BUILD_IN="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "the build began to install", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, ".build-*/root/var/lib/dpkg/info/*.list"))
		return len(found) > 10
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b := oci.Builder{Dir: dir}
	if r, err := b.Observe(t.Context(), small()); err != nil || r.Status != drift.Absent {
		t.Errorf("after the kill: %v, %v", r, err)
	}
	// The lock is held by whatever still runs of the build, so it is waited for.
	if err := b.Ensure(t.Context(), small(), t.Logf); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".build-*[^k]")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), dir) {
		t.Error("something is still mounted")
	}
}

// within asks again and again until the condition holds.
func within(t testing.TB, most time.Duration, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", most, what)
		case <-tick.C:
		}
	}
}

// storageConf is containers-storage.conf(5) of a host that sees the shared store.
const storageConf = `[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
[storage.options]
additionalimagestores = ["/var/lib/images"]
`

const containersConf = `[containers]
pids_limit = 0
cgroups = "disabled"
netns = "host"
log_driver = "none"
[engine]
cgroup_manager = "systemd"
events_logger = "file"
`

// containerHost brings up a host with podman that sees the builder's store.
func containerHost(t *testing.T, name string, b oci.Builder) (run func(line string) (string, error)) {
	t.Helper()
	f := newFixture(t)
	if err := b.Init(); err != nil {
		t.Fatal(err)
	}
	p, topo := f.brought(t, name, 1, func(m *machine.Machine) {
		m.Preinstall = []string{"podman", "crun", "nftables"}
		m.Shares = []machine.Share{{Source: b.Store(), Target: "/var/lib/images"}}
	})
	m := topo.Machines[0]
	run = func(line string) (string, error) {
		out, err := p.Enter(t.Context(), m.Cloud, m.Name, "sh", "-c", line)
		return strings.TrimSpace(string(out)), err
	}
	script := "mkdir -p /etc/containers && cat >/etc/containers/storage.conf <<'E'\n" + storageConf +
		"E\ncat >/etc/containers/containers.conf <<'E'\n" + containersConf + "E\n"
	if out, err := run(script); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return run
}

func TestHostsRunContainersFromTheSharedStore(t *testing.T) {
	needLab(t)
	b := oci.Builder{Dir: filepath.Join(t.TempDir(), "images")}
	run := containerHost(t, "store", b)
	ref := small().Ref("")
	if out, err := run("podman image exists " + ref); err == nil {
		t.Errorf("an image before it is built: %s", out)
	}
	// While the host runs, and has looked already.
	if err := b.Ensure(t.Context(), small(), t.Logf); err != nil {
		t.Fatal(err)
	}
	out, err := run("podman image inspect --format '{{.Id}} {{index .Labels \"" + oci.LabelRecipe + "\"}}' " + ref)
	images, lerr := b.List()
	if err != nil || lerr != nil || out != images[0].ID+" "+small().Digest() {
		t.Errorf("%q, %v, %v", out, err, lerr)
	}
	out, err = run("podman run --rm --network=host --user memcache " + ref + " sh -c 'id -u; python3 -c \"import pymysql\"; touch /tmp/x && echo written'")
	if err != nil || out != "612\nwritten" {
		t.Errorf("container: %q, %v", out, err)
	}
	if out, err := run("podman run -d --network=host --name sleeper " + ref + " sleep 600"); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	if gone, err := b.Prune(t.Context(), func(string) bool { return false }, t.Logf); err != nil || len(gone) > 0 {
		t.Errorf("an image in use was removed: %q, %v", gone, err)
	}
	if out, err := run("podman rm -f -t0 sleeper"); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if gone, err := b.Prune(t.Context(), func(string) bool { return false }, t.Logf); err != nil || !slices.Equal(gone, []string{ref}) {
		t.Errorf("an image not in use stays: %q, %v", gone, err)
	}
	if out, err := run("podman image exists " + ref); err == nil {
		t.Errorf("an image after it was removed: %s", out)
	}
}

// inCopy runs shell text in namespaces of its own, with a file system over an
// image's in $ROOT that is gone afterwards: the image itself must not be written to.
func inCopy(ctx context.Context, root, script string, env ...string) *exec.Cmd {
	const prepare = `set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$IMAGE,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
ROOT=/mnt/root
`
	cmd := exec.CommandContext(ctx, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", prepare+script)
	cmd.Env = append(append(os.Environ(), "IMAGE="+root), env...)
	return cmd
}

// headsScript prints the rows that alembic_version has when a schema is as new as
// the code: the heads, without those that another head depends on.
const headsScript = `
import json, os
from alembic.config import Config
from alembic.script import ScriptDirectory
top = '/usr/lib/python3/dist-packages/'
out = {}
for name, path in {
    'keystone': 'keystone/common/sql/migrations', 'glance': 'glance/db/sqlalchemy/alembic_migrations',
    'placement': 'placement/db/sqlalchemy/alembic', 'nova': 'nova/db/main/migrations', 'nova_api': 'nova/db/api/migrations',
    'neutron': 'neutron/db/migration/alembic_migrations',
    'heat': 'heat/db/migrations', 'masakari': 'masakari/db/sqlalchemy/migrations',
    'cinder': 'cinder/db/migrations',
}.items():
    if not os.path.isdir(top + path):
        continue
    c = Config()
    c.set_main_option('script_location', top + path)
    c.set_main_option('path_separator', 'space')
    versions = [d for d, _, f in os.walk(top + path + '/versions') if any(x.endswith('.py') for x in f)]
    c.set_main_option('version_locations', ' '.join(versions))
    s = ScriptDirectory.from_config(c)
    heads = s.get_revisions(s.get_heads())
    below = {h.revision: {r.revision for r in s.revision_map._get_ancestor_nodes([h], include_dependencies=True)} for h in heads}
    out[name] = sorted(h for h in below if not any(h in v for k, v in below.items() if k != h))
print(json.dumps(out))
`

// TestTheReleaseSaysWhatItsImagesHave builds the real images unless they are cached,
// which takes minutes.
func TestTheReleaseSaysWhatItsImagesHave(t *testing.T) {
	needLab(t)
	r, err := release.Load(release.Default)
	if err != nil {
		t.Fatal(err)
	}
	recipes := slices.DeleteFunc(slices.Concat(r.Images, r.Optional), func(i oci.Recipe) bool { return i.Name == "infra" })
	missing, heads := maps.Clone(r.Paths), map[string][]string{}
	for _, recipe := range recipes {
		b := oci.Builder{}
		if err := b.Ensure(t.Context(), recipe, t.Logf); err != nil {
			t.Fatal(err)
		}
		root, err := b.Root(recipe)
		if err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(missing, func(_, path string) bool {
			_, err := os.Stat(filepath.Join(root, path))
			return err == nil
		})
		out, err := inCopy(t.Context(), root, `exec chroot "$ROOT" python3 -c "$SCRIPT"`, "SCRIPT="+headsScript).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &heads); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no image has %q", missing)
	}
	if diff := cmp.Diff(r.Heads, heads, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("schemas of the release, and of its images (-want +got):\n%s", diff)
	}
}

// TestEveryReleaseCanBeInstalled asks apt, without installing anything.
func TestEveryReleaseCanBeInstalled(t *testing.T) {
	needLab(t)
	for _, name := range release.Names() {
		r, err := release.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, recipe := range slices.Concat(r.Images, r.Optional) {
			t.Run(name+"/"+recipe.Name, func(t *testing.T) {
				if err := (oci.Builder{Dir: t.TempDir()}).Simulate(t.Context(), recipe); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
