package e2e

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// storageOf is the OpenStack whose storage is raised without the rest of it.
const storageOf = `version: 1
cloud: e2estore
networks: {mgmt: {cidr: 10.89.40.0/24}, data: {cidr: 10.89.41.0/24}}
groups:
  controller: {hosts: {%s}}
  compute: {count: %d, nics: [mgmt, data]}
vips: {api: {network: mgmt, address: 10.89.40.10, group: controller}}
openstack: {vip: api}
`

// storageFirst are the controllers at first.
var storageFirst = []int{1, 2, 3}

// storageSecrets are an authority and nothing else.
type storageSecrets struct {
	t  *testing.T
	ca pki.Authority
}

func (storageSecrets) Password(name string) string         { return name }
func (storageSecrets) FernetKeys(string) map[string]string { return nil }
func (s storageSecrets) Authority() string                 { return s.ca.Cert }
func (s storageSecrets) Certificate(name string, names ...string) (cert, key string) {
	s.t.Helper()
	cert, key, err := s.ca.Issue(name, names, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return cert, key
}

func storageAuthority(t *testing.T) pki.Authority {
	t.Helper()
	out, err := pki.NewAuthority("e2estore", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// storageCloud is a cloud file of small hosts with what GlusterFS asks for in an
// OpenStack, with these controllers and so many computes, as resources of their own.
func storageCloud(t *testing.T, authority pki.Authority, controllers []int, computes int) string {
	t.Helper()
	var named []string
	for _, n := range controllers {
		named = append(named, fmt.Sprintf("controller%d: {nics: [{network: mgmt, address: 10.89.40.1%[1]d}]}", n))
	}
	c, faults := spec.Parse("cloud.yaml", fmt.Appendf(nil, storageOf, strings.Join(named, ", "), computes), spec.Options{})
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	r, err := release.Load(release.Default)
	if err != nil {
		t.Fatal(err)
	}
	d := &stack.Deployment{Cloud: c, Spec: c.OpenStack, Release: r, Secrets: storageSecrets{t: t, ca: authority}, Diags: &diag.List{}}
	resources := map[string][]map[string]any{}
	add := func(host string, it configset.Item) {
		m := map[string]any{it.Resource.Kind(): it.Resource}
		if len(it.Needs) > 0 {
			m["needs"] = it.Needs
		}
		if len(it.Triggers) > 0 {
			m["triggers"] = it.Triggers
		}
		resources[host] = append(resources[host], m)
	}
	given := func(host string, r resource.Resource) { add(host, configset.Item{Resource: r}) }
	hosts := map[string]map[string]any{}
	for _, h := range d.Hosts() {
		for _, p := range []string{stack.ConfigRoot, stack.AuthorityDir, stack.DataRoot, stack.DataDir("nova"), stack.DataDir("glance")} {
			given(h.Name, &directory.Resource{Path: p, Mode: "0755", Owner: "root", Group: "root"})
		}
		given(h.Name, &file.Resource{Path: stack.CAFile, Content: authority.Cert, Mode: "0644", Owner: "root", Group: "root"})
	}
	for _, it := range gluster.Service().Build(d) {
		add(it.Host, it.Item)
	}
	for _, h := range d.Hosts() {
		nic := map[string]any{"network": "mgmt", "address": d.Address(h)}
		hosts[h.Name] = map[string]any{"nics": []any{nic}, "memory": "512MiB", "resources": resources[h.Name]}
	}
	text, err := json.Marshal(map[string]any{
		"version": 1, "cloud": "e2estore", "package_cache": true, "configsets": map[string]any{"basebox": map[string]any{}},
		"provider": map[string]any{"lab": map[string]any{"fuse": "true", "packages": "glusterfs-server procps"}},
		"networks": map[string]any{"mgmt": map[string]any{"cidr": "10.89.40.0/24"}},
		"groups":   map[string]any{"host": map[string]any{"hosts": hosts}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "${", "$${")
}

// storageDay is something that happens to a storage that is written to.
type storageDay struct {
	name string
	run  func(*cloud)
}

// TestStorageOnThreeControllers takes the storage of an OpenStack, on hosts that
// have nothing else to do, through everything that may happen to it.
func TestStorageOnThreeControllers(t *testing.T) {
	c, next := newCloud(t, "e2estore", storageCloud(t, storageAuthority(t), storageFirst, 1)), storageAuthority(t)
	for _, n := range []int{20, 60, 90} {
		t.Logf("killed after %d steps; ended before: %v", n, c.killAfter(n))
	}
	out := c.run("up")
	t.Logf("the last up took %s", out.took)
	c.expectNoChanges()
	disks := gluster.Target(gluster.Instances)
	c.sh("compute1", "set -e; dd if=/dev/urandom of="+disks+"/disk bs=1M count=16 oflag=direct 2>&1; md5sum "+disks+"/disk >/root/sum; mkdir "+disks+"/dir")
	c.startWriter()
	days := []storageDay{
		{"a new authority needs no restart", func(c *cloud) { storageNewAuthority(c, next) }},
		{"a controller loses power", storageCutOne},
		{"a controller comes back from nothing", storageRebuilt},
		{"two lose power", storageCutTwo},
		{"all lose power", storageCutAll},
		{"a compute is rebooted", storageReboot},
		{"the program that serves a mount dies", storageClientDies},
		{"an option of a volume drifts", storageDrifts},
		{"a controller lost power as it learned of a volume", storageHalfLearned},
		{"strangers are not let in", storageStrangers},
		{"another compute comes", func(c *cloud) { storageAnother(c, next) }},
	}
	if os.Getenv("ENDURE") != "" {
		days = append(days,
			storageDay{"a controller that is dead has a successor", func(c *cloud) { storageHeir(c, next, 2, 4, []int{1, 3}, true) }},
			storageDay{"one that is alive has a successor", func(c *cloud) { storageHeir(c, next, 3, 5, []int{1, 4}, false) }},
			storageDay{"a controller missed that a copy moved", storageMissed},
		)
	}
	for _, day := range days {
		t.Run(day.name, func(t *testing.T) {
			c := c.with(t)
			day.run(c)
			c.run("up")
			c.whole("controller1")
			c.sh("compute1", "md5sum --check /root/sum && test -d "+disks+"/dir")
			c.expectNoChanges()
		})
	}
}

// storageWriter writes some ten times a second, past all caches, and notes when.
const storageWriter = `rm -f /root/beats
cat >/root/writer <<'EOF'
while sleep 0.1; do
	dd if=/dev/zero of=%s/beat bs=4k count=1 oflag=direct conv=notrunc,fsync 2>/dev/null && date +%%s%%N >>/root/beats
done
EOF
systemd-run --quiet --unit=writer sh /root/writer
for i in $(seq 100); do test -s /root/beats && exit; sleep 0.1; done
exit 1`

func (c *cloud) startWriter() {
	c.t.Helper()
	c.sh("compute1", fmt.Sprintf(storageWriter, gluster.Target(gluster.Instances)))
}

// sh runs shell text on a host.
func (c *cloud) sh(host, text string) string {
	c.t.Helper()
	return c.run("exec", host, "--", "sh", "-c", text).stdout
}

// whole waits until all copies are whole. What was being written when the power went
// is looked for twice a minute.
func (c *cloud) whole(host string) {
	c.t.Helper()
	c.sh(host, "for i in 1 2 3 4 5; do if "+gluster.Whole()+"; then exit; fi; done; exit 1")
}

// longestPause is the longest time between two writes since the mark.
func (c *cloud) longestPause() time.Duration {
	c.t.Helper()
	out := c.sh("compute1", "awk 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 } END { printf \"most=%d\", most }' /root/beats; last=$(tail -n 1 /root/beats); echo $last >/root/beats")
	m := regexp.MustCompile(`most=(\d+)`).FindStringSubmatch(out)
	if m == nil {
		c.t.Fatalf("no pause in %q", out)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n == 0 {
		c.t.Fatalf("nothing was written: %q", out)
	}
	return time.Duration(n)
}

// storageNewAuthority gives all hosts certificates of another authority. Nothing
// stops for it, and whoever connects afterwards is shown the new ones.
func storageNewAuthority(c *cloud, authority pki.Authority) {
	c.write(storageCloud(c.t, authority, storageFirst, 1))
	daemons := "pgrep -x 'glusterd|glusterfsd' | sort"
	before := c.sh("controller1", daemons)
	c.longestPause()
	c.run("up")
	if pause := c.longestPause(); pause > 5*time.Second {
		c.t.Errorf("no write was done for %s", pause)
	}
	if after := c.sh("controller1", daemons); after != before {
		c.t.Errorf("processes %q were restarted: %q", before, after)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority.Cert))
	speakTLS(c.t, c, roots, 24007)
}

func storageCutOne(c *cloud) {
	for _, h := range []string{"controller3", "controller1"} {
		c.longestPause()
		if h == "controller1" { // not a word from it, as when a switch dies
			c.run("lab", "enter", h, "--", "ip", "link", "set", "eth0", "down")
		}
		c.run("lab", "cut", h)
		c.sh("compute1", "set -e; d="+gluster.Target(gluster.Instances)+"; dd if=/dev/urandom of=$d/while-"+h+" bs=1M count=4 oflag=direct; timeout 20 md5sum --check /root/sum")
		c.sh("compute1", "n=$(wc -l </root/beats); for i in $(seq 200); do test $(wc -l </root/beats) -gt $((n+2)) && exit; sleep 0.1; done; exit 1")
		pause := c.longestPause()
		c.t.Logf("without %s the longest pause between writes was %s", h, pause.Round(time.Millisecond))
		if pause > 20*time.Second {
			c.t.Error("that is too long")
		}
		out := c.run("up")
		c.t.Logf("whole again by an up of %s", out.took)
		c.whole("controller2")
	}
}

func storageRebuilt(c *cloud) {
	c.run("destroy", "--yes", "--only", "machine:controller2")
	out := c.run("up")
	c.t.Logf("its copies were whole again after %s", out.took)
	got := c.sh("controller2", "cat /var/lib/updraft/gluster/instances/*/disk | md5sum; ls /var/lib/updraft/gluster/instances")
	sum, _, _ := strings.Cut(c.sh("compute1", "cat /root/sum"), " ")
	if sum == "" || !strings.Contains(got, sum) || !strings.Contains(got, "brick2") {
		c.t.Errorf("its copy is %q, want one of sum %q", got, sum)
	}
}

// storageCutTwo leaves one copy, which might be the one that missed something.
func storageCutTwo(c *cloud) {
	c.run("lab", "cut", "controller1")
	if out, _ := c.try("exec", "controller2", "--", "sh", "-c", gluster.Whole()); out.code == 0 {
		c.t.Error("a controller is gone, and another may be taken down")
	}
	c.run("lab", "cut", "controller2")
	c.sh("compute1", "if timeout 30 dd if=/dev/zero of="+gluster.Target(gluster.Instances)+"/alone bs=4k count=1 oflag=direct; then exit 1; fi")
	out := c.run("up")
	c.t.Logf("written again after %s", out.took)
}

// storageReboot has the mount back without updraft.
func storageReboot(c *cloud) {
	c.run("lab", "stop", "compute1")
	c.run("lab", "start", "compute1")
	c.sh("compute1", "for i in $(seq 100); do mountpoint -q "+gluster.Target(gluster.Instances)+" && exit; sleep 0.2; done; exit 1")
	c.startWriter()
}

func storageCutAll(c *cloud) {
	c.run("lab", "cut")
	out := c.run("up")
	c.t.Logf("all back after %s", out.took)
	c.startWriter()
}

func storageClientDies(c *cloud) {
	c.sh("compute1", "systemctl stop writer; kill -9 $(cat /run/updraft-mount-instances.pid)")
	c.sh("compute1", "for i in $(seq 100); do timeout 5 mountpoint -q "+gluster.Target(gluster.Instances)+" && exit; sleep 0.2; done; exit 1")
}

func storageDrifts(c *cloud) {
	c.sh("controller1", "gluster --mode=script volume set instances network.ping-timeout 42")
	if out, _ := c.try("plan"); out.code != 2 || !strings.Contains(out.stdout, "gluster volume instances") {
		c.t.Errorf("a plan ended with %d:\n%s", out.code, out.all())
	}
}

// storageHalfLearned has files of a volume as a controller had them whose glusterd was
// killed while it took a volume over from the others.
func storageHalfLearned(c *cloud) {
	c.sh("controller2", "cd /var/lib/glusterd/vols/instances && rm -r info bricks/*")
	c.run("lab", "cut", "controller2")
}

// storageAnother adds a compute, which the volumes let in by a list that is written in
// the same run.
func storageAnother(c *cloud, authority pki.Authority) {
	c.write(storageCloud(c.t, authority, storageFirst, 2))
	c.run("up")
	c.sh("compute2", "mountpoint "+gluster.Target(gluster.Instances)+" && test -s "+gluster.Target(gluster.Instances)+"/disk")
}

// storageHeir has a controller of another name take the place of one, which is dead or
// goes when its copies are elsewhere.
func storageHeir(c *cloud, authority pki.Authority, old, heir int, stay []int, dead bool) {
	if dead {
		c.run("lab", "cut", fmt.Sprintf("controller%d", old))
	} else { // as its members do when they take leave
		c.sh(fmt.Sprintf("controller%d", old), "systemctl stop glusterd")
	}
	c.longestPause()
	c.write(storageCloud(c.t, authority, append(stay, heir), 2))
	out := c.run("up")
	c.t.Logf("the successor's copies were whole after %s; the longest pause between writes was %s", out.took, c.longestPause().Round(time.Millisecond))
	got := c.sh(fmt.Sprintf("controller%d", heir), "cat /var/lib/updraft/gluster/instances/*/disk | md5sum; gluster pool list")
	sum, _, _ := strings.Cut(c.sh("compute1", "cat /root/sum"), " ")
	if sum == "" || !strings.Contains(got, sum) || strings.Contains(got, fmt.Sprintf("10.89.40.1%d", old)) {
		c.t.Errorf("its copy and its pool are\n%s\nwant one of sum %q, and no controller%d", got, sum, old)
	}
}

// storageMissed has a controller know a copy on one that has left, with which its glusterd
// does not start.
func storageMissed(c *cloud) {
	c.sh("controller4", "sed -i 's/=10.89.40.15:/=10.89.40.13:/' /var/lib/glusterd/vols/instances/info")
	c.run("lab", "cut", "controller4")
	c.run("lab", "start", "controller4")
	c.sh("controller4", "for i in $(seq 300); do grep -qs =10.89.40.15: /var/lib/glusterd/vols/instances/info && systemctl is-active glusterd && exit; sleep 0.2; done; exit 1")
}

// storageStrangers is a host with a certificate of the authority that may mount one
// of the volumes: it mounts no other, nor the one without that certificate, and it
// has no say in the pool.
//
// That mount.glusterfs says yes means nothing: of a mount that is refused, the program
// may have ended before it looks at the directory, which is the host's own then. So what
// was written has to be gone with the mount.
func storageStrangers(c *cloud) {
	c.sh("compute1", `
control=
try() {
	mkdir -p /mnt/x
	rm -f /mnt/x/y
	timeout 20 mount -t glusterfs 10.89.40.11:$1 /mnt/x && timeout 10 touch /mnt/x/y
	s=$?
	umount -l /mnt/x 2>/dev/null
	test $s = 0 && ! test -e /mnt/x/y
}
gluster() { timeout 20 /usr/sbin/gluster --mode=script "$@" </dev/null; }
for i in $(seq 10); do if try instances; then control=passed; break; fi; sleep 1; done
test "$control" || { echo "the control failed"; exit 1; }
for i in 1 2 3 4 5; do if try images; then echo "it has mounted what is not its own"; exit 1; fi; done
mv /var/lib/glusterd/secure-access /root/
if try instances; then echo "it has mounted without TLS"; exit 1; fi
mv /root/secure-access /var/lib/glusterd/
gluster --remote-host=10.89.40.11 volume stop images
cp -a /var/lib/glusterd /root/
systemctl start glusterd
if gluster peer probe 10.89.40.11; then echo "it has joined"; exit 1; fi
systemctl stop glusterd
rm -rf /var/lib/glusterd
mv /root/glusterd /var/lib/`)
	if out := c.sh("controller1", "gluster pool list; grep ^status= /var/lib/glusterd/vols/images/info"); strings.Contains(out, "10.89.40.129") || !strings.Contains(out, "status=1") {
		c.t.Errorf("a stranger has changed the pool:\n%s", out)
	}
}
