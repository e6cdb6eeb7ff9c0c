package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/openstack/glance"
	"github.com/updraft-cloud/updraft/internal/openstack/keystone"
	"github.com/updraft-cloud/updraft/internal/openstack/neutron"
	"github.com/updraft-cloud/updraft/internal/openstack/nova"
	"github.com/updraft-cloud/updraft/internal/openstack/placement"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

// box is the file systems of the images with a controller's configuration, in
// name spaces of their own: what runs in it sees no network but its own.
type box struct {
	t   *testing.T
	dir string // of the test; "etc" in it is /etc/updraft
	pid int    // holds the name spaces
	d   *stack.Deployment
	// network is false for what runs in the network of who starts it.
	network bool
}

// imageRoot is where the image's files are in the store that "updraft image
// build" fills.
func imageRoot(t *testing.T, name string) string {
	t.Helper()
	r, err := release.Load(release.Default)
	if err != nil {
		t.Fatal(err)
	}
	store := oci.Builder{Dir: oci.DefaultDir}.Store()
	var images []struct {
		Names []string
		Layer string
	}
	data, err := os.ReadFile(filepath.Join(store, "overlay-images", "images.json"))
	if err == nil {
		err = json.Unmarshal(data, &images)
	}
	for _, i := range images {
		if err == nil && slices.Contains(i.Names, r.Image(name)) {
			return filepath.Join(store, "overlay", i.Layer, "diff")
		}
	}
	if strings.Contains(os.Getenv("REQUIRE"), "lab") {
		t.Fatalf("there is no image %s in %s: updraft image build (%v)", r.Image(name), store, err)
	}
	t.Skipf("there is no image %s in %s", r.Image(name), store)
	return ""
}

// vault is the secrets of a cloud in the terms of its services.
type vault struct{ secret.Source }

func (v vault) FernetKeys(name string) map[string]string {
	out := map[string]string{}
	for i, k := range v.Source.FernetKeys(name) {
		out[strconv.Itoa(i)] = k
	}
	return out
}

func (v vault) Authority() string { return v.CA().Bundle() }

// newBox makes a box with the configuration of the first controller.
func newBox(t *testing.T, images ...string) *box {
	t.Helper()
	needLab(t)
	b := &box{t: t, dir: t.TempDir(), network: true}
	script := "mount --make-rprivate /\nip link set lo up\nip addr add 10.88.0.10/32 dev lo\nip addr add 10.88.0.11/32 dev lo\n"
	for _, i := range images {
		for _, d := range []string{"up", "work", "root"} {
			mk(t, b.dir, i, d)
		}
		script += fmt.Sprintf("mount -t overlay overlay -o lowerdir=%s,upperdir=%[2]s/up,workdir=%[2]s/work %[2]s/root\n", imageRoot(t, i), filepath.Join(b.dir, i))
	}
	ready := filepath.Join(b.dir, "ready")
	holder := exec.Command("unshare", "--mount", "--net", "sh", "-euc", script+"touch "+ready+"\nexec cat")
	holder.Stderr = os.Stderr
	end, err := holder.StdinPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endOthers(holder.Process.Pid)
		_ = end.Close()
		_ = holder.Wait()
	})
	transporttest.Eventually(t, "the box is made", func() bool { _, err := os.Stat(ready); return err == nil })
	b.pid = holder.Process.Pid
	b.deployment()
	return b
}

// endOthers kills what is left in a process's network: daemons such as Erlang's epmd
// outlive who started them.
func endOthers(pid int) {
	const space = "/proc/%d/ns/net"
	own, err := os.Readlink(fmt.Sprintf(space, pid))
	if err != nil {
		return
	}
	entries, _ := os.ReadDir("/proc") // there is nothing to do about it
	for _, e := range entries {
		other, err := strconv.Atoi(e.Name())
		if err != nil || other == pid {
			continue
		}
		if theirs, err := os.Readlink(fmt.Sprintf(space, other)); err == nil && theirs == own {
			_ = syscall.Kill(other, syscall.SIGKILL) // it may have ended
		}
	}
}

func mk(t *testing.T, elem ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(elem...), 0o755); err != nil {
		t.Fatal(err)
	}
}

// deployment puts the files of the first controller where the box has them.
func (b *box) deployment() {
	b.t.Helper()
	r, err := release.Load(release.Default)
	if err != nil {
		b.t.Fatal(err)
	}
	secrets, err := secret.Open(secret.Options{Cloud: "test", Dir: b.dir, Identity: secret.Identity{Path: filepath.Join(b.dir, "identity")}})
	if err != nil {
		b.t.Fatal(err)
	}
	c, faults := spec.Parse("cloud.yaml", []byte(stacktest.Small), spec.Options{})
	if c == nil {
		b.t.Fatal(faults.Err())
	}
	b.d = &stack.Deployment{Cloud: c, Spec: c.OpenStack, Release: r, Secrets: vault{secrets}, Diags: &diag.List{}, Services: services()}
	b.write(stack.CAFile, b.d.Secrets.Authority())
	for _, s := range b.d.Services {
		for _, it := range s.Build(b.d) {
			if f, ok := it.Resource.(*file.Resource); ok && strings.HasPrefix(f.Path, stack.ConfigRoot) {
				b.write(filepath.Join(stack.ConfigRoot, it.Host, strings.TrimPrefix(f.Path, stack.ConfigRoot)), f.Content)
				if it.Host == b.d.First().Name {
					b.write(f.Path, f.Content)
				}
			}
		}
	}
}

func services() []stack.Service {
	return []stack.Service{keystone.Service(), glance.Service(), placement.Service(), nova.Service(), neutron.Service()}
}

// etc is where a path of /etc/updraft lies outside of the box.
func (b *box) etc(path string) string {
	return filepath.Join(b.dir, "etc", strings.TrimPrefix(path, stack.ConfigRoot))
}

func (b *box) write(path, content string) {
	b.t.Helper()
	mk(b.t, filepath.Dir(b.etc(path)))
	if err := os.WriteFile(b.etc(path), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// podmanInBox stands for podman: it runs the command in the image's root, with
// what --volume names of the box's configuration.
const podmanInBox = `#!/bin/sh
test "$1" = run || exit 1
shift
user=root volumes= pidfile=
while :; do
	case "$1" in
	--user=*) user=${1#*=} ;;
	--volume=*) volumes="$volumes ${1#*=}" ;;
	-*) ;;
	*) break ;;
	esac
	shift
done
image=${1##*/}
image=${image%%:*}
shift
exec unshare --mount sh -euc '
mount --make-rprivate /
root=$BOX/$1/root user=$2 volumes=$3
shift 3
mount --rbind "$root" "$root"
mkdir -p "$root/etc/updraft" "$root/var/lib/updraft"
mount --rbind "$BOX/etc" "$root/etc/updraft"
mount --rbind "$BOX/var" "$root/var/lib/updraft"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
for v in $volumes; do
	source=$BOX/etc/${v#/etc/updraft/} target=${v#*:}
	source=${source%%:*} target=$root${target%%:*}
	test -e "$target" || { mkdir -p "${target%/*}"; if test -d "$source"; then mkdir "$target"; else : >"$target"; fi; }
	mount --bind "$source" "$target"
done
cd "$root"
pivot_root . mnt
exec chroot --userspec="$user:$user" . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ "$@"
' sh "$image" "$user" "$volumes" "$@"
`

// command is a shell's text in the box. Paths below /run/updraft are in the test's
// directory.
func (b *box) command(ctx context.Context, flags, text string) *exec.Cmd {
	b.t.Helper()
	mk(b.t, b.dir, "bin")
	mk(b.t, b.dir, "var")
	podman := filepath.Join(b.dir, "bin", "podman")
	if _, err := os.Stat(podman); err != nil { // never under the feet of one that runs
		if err := os.WriteFile(podman, []byte(podmanInBox), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	text = strings.ReplaceAll(text, stack.RunRoot, b.dir)
	args := []string{"--target", strconv.Itoa(b.pid), "--mount"}
	if b.network {
		args = append(args, "--net")
	}
	c := exec.CommandContext(ctx, "nsenter", append(args, "--", "sh", flags, text)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.Env = []string{"PATH=" + filepath.Join(b.dir, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin", "BOX=" + b.dir}
	return c
}

func (b *box) run(flags, text string) (string, error) {
	b.t.Helper()
	out, err := b.command(b.t.Context(), flags, text).CombinedOutput()
	return string(out), err
}

// namespaces are those of oslo.config in which each service's settings are
// described.
var namespaces = map[string][]string{
	"keystone.conf":   {"keystone"},
	"glance-api.conf": {"glance.api", "glance.store", "glance"},
	"placement.conf":  {"placement.conf"},
	"nova.conf":       {"nova.conf", "os_vif"},
	"neutron.conf": {
		"neutron", "neutron.db", "neutron.ml2", "neutron.ml2.ovn", "neutron.base.agent", "neutron.agent",
		"neutron.ovn.metadata.agent", "nova.auth", "placement.auth",
	},
}

// dynamic are settings of sections that only Glance's own settings name, so that
// no sample can have them.
var dynamic = []string{
	"glance_store/default_backend", "store/filesystem_store_datadir", "os_glance_staging_store/filesystem_store_datadir",
	"os_glance_tasks_store/filesystem_store_datadir",
}

func TestTheServicesKnowEverySettingThatTheyAreGiven(t *testing.T) {
	b := newBox(t, "openstack")
	files, err := filepath.Glob(filepath.Join(b.dir, "etc", "*", "*", "*.conf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for _, f := range files {
		names, ok := namespaces[filepath.Base(f)]
		if !ok {
			continue
		}
		path := strings.TrimPrefix(f, filepath.Join(b.dir, "etc"))
		t.Run(path[1:], func(t *testing.T) {
			line := "podman run box/openstack:x oslo-config-validator --input-file " + stack.ConfigRoot + path
			for _, n := range append(names, "oslo.log", "oslo.messaging", "oslo.db", "oslo.concurrency", "oslo.cache", "oslo.policy",
				"oslo.middleware.http_proxy_to_wsgi", "keystonemiddleware.auth_token") {
				line += " --namespace " + n
			}
			out, _ := b.run("-euc", line) // it also ends with 1 for the dynamic ones
			if !strings.Contains(out, "INFO") {
				t.Errorf("the validator did not run: %s", out)
			}
			for l := range strings.Lines(out) {
				known := slices.ContainsFunc(dynamic, func(d string) bool { return strings.Contains(l, ":"+d+" ") })
				if strings.Contains(l, "is not part of") && !known {
					t.Error(strings.TrimSpace(l))
				}
			}
		})
	}
}

// mariadb starts a real MariaDB in the box, with one database and its user.
func (b *box) mariadb(database, user string) {
	b.t.Helper()
	dir := filepath.Dir(stack.DatabaseSocket)
	cert, key := b.d.Secrets.Certificate("mariadb", b.d.VIP().String())
	b.write(stack.ConfigRoot+"/db.pem", cert)
	b.write(stack.ConfigRoot+"/db.key", key)
	start := `podman run box/infra:x sh -euc 'mkdir -p %[1]s; chown mysql %[1]s
mariadb-install-db --user=mysql --datadir=%[1]s --auth-root-authentication-method=socket --skip-test-db
exec mariadbd --no-defaults --user=mysql --datadir=%[1]s --socket=%[2]s --pid-file=%[1]s/pid --bind-address=%[3]s --skip-log-bin \
	--ssl-cert=/etc/updraft/db.pem --ssl-key=/etc/updraft/db.key'`
	ctx, stop := context.WithCancel(context.Background())
	server := b.command(ctx, "-euc", "echo $$ >"+stack.RunRoot+"/mariadb.pid\nexec "+fmt.Sprintf(start, dir, stack.DatabaseSocket, b.d.VIP()))
	log, err := os.Create(filepath.Join(b.dir, "mariadb.log"))
	if err == nil {
		server.Stdout, server.Stderr = log, log
		err = server.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		stop()
		_ = server.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && b.t.Failed() {
			b.t.Logf("MariaDB: %s", text)
		}
	})
	answer := ""
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("MariaDB's last answer: %s", answer)
		}
	})
	transporttest.Eventually(b.t, "MariaDB answers", func() bool {
		answer, err = b.run("-c", stack.SQL("SELECT 1"))
		return err == nil
	})
	for _, q := range []string{
		"CREATE DATABASE " + database + " CHARACTER SET utf8mb4",
		fmt.Sprintf(`CREATE USER "%s"@"%%" IDENTIFIED BY "%s"`, user, b.d.Secrets.Password(stack.DatabaseSecret(user))),
		fmt.Sprintf(`GRANT ALL ON %s.* TO "%s"@"%%"`, database, user),
	} {
		b.sql(q)
	}
}

func (b *box) sql(query string) string {
	b.t.Helper()
	out, err := b.run("-c", stack.SQL(query))
	if err != nil {
		b.t.Fatalf("%s: %v: %s", query, err, out)
	}
	return strings.TrimSpace(out)
}

// job returns a command of the first controller.
func (b *box) job(service stack.Service, name string) *command.Resource {
	b.t.Helper()
	for _, it := range service.Build(b.d) {
		if c, ok := it.Resource.(*command.Resource); ok && c.Name == name {
			return c
		}
	}
	b.t.Fatalf("there is no job %s", name)
	return nil
}

func TestASyncThatWasKilledIsFinishedByTheNext(t *testing.T) {
	b := newBox(t, "infra", "openstack")
	b.mariadb("glance", "glance")
	job := b.job(glance.Service(), "glance schema")
	const tables = `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema="glance"`

	ctx, kill := context.WithCancel(t.Context())
	first := b.command(ctx, "-euc", job.Script)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	transporttest.Eventually(t, "the first table is there", func() bool { return b.sql(tables) != "0" })
	kill()
	_ = first.Wait()
	transporttest.Eventually(t, "MariaDB has noticed", func() bool {
		return b.sql(`SELECT COUNT(*) FROM information_schema.processlist WHERE user="glance"`) == "0"
	})
	if _, err := b.run("-c", job.Unless); err == nil {
		t.Skip("the sync was faster than its end")
	}

	if out, err := b.run("-euc", job.Script); err != nil {
		t.Fatalf("the next sync: %v: %s", err, out)
	}
	if out, err := b.run("-c", job.Unless); err != nil {
		t.Errorf("the work is not done: %v: %s", err, out)
	}

	// Once somebody has stored something, nothing is made anew.
	b.sql(`INSERT INTO glance.images (id, status, visibility, created_at, min_disk, min_ram, protected, os_hidden, deleted) ` +
		`VALUES ("i", "active", "private", NOW(), 0, 0, 0, 0, 0)`)
	b.sql(`UPDATE glance.alembic_version SET version_num = "nothing"`)
	if out, err := b.run("-euc", job.Script); err == nil {
		t.Errorf("a schema that the code does not know was synced: %s", out)
	}
	if got := b.sql("SELECT COUNT(*) FROM glance.images"); got != "1" {
		t.Errorf("there are %s images, want the one that was stored", got)
	}
}
