package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/resource/all"
)

const inlineHead = `version: 1
cloud: labinline
provider: lab
networks: {mgmt: {cidr: 10.89.25.0/24}}
package_cache: true
configsets: {basebox: {hostname: false, hosts: false}}
groups:
  node:
    count: 1
    nics: [mgmt]
    memory: 512MiB
`

// inlineGiven is what the examples of the kinds count on: networkd, an interface
// to configure, and packages.
const inlineGiven = `    - package: {name: nftables}
    - package: {name: cron}
    - file: {path: /etc/systemd/network/10-eth1.netdev, content: "[NetDev]\nName=eth1\nKind=veth\n[Peer]\nName=eth1p\n"}
    - unit: {name: systemd-networkd.service, enabled: true, state: started}
      needs: ["file:/etc/systemd/network/10-eth1.netdev"]
`

// inline is how the example of a kind is used, and drifts.
type inline struct {
	body  string // instead of the kind's example
	needs string
	drift string // a command that moves one thing
	attrs []string
	// elsewhere names the test that has what the kind needs; the kind is left
	// out here.
	elsewhere string
}

var inlines = map[string]inline{
	"authkey": {drift: "sed -i s/deploy@example/somebody/ /home/deploy/.ssh/authorized_keys", attrs: []string{"comment"}},
	"command": {
		body:  "name: salt\nrun: [cp, /proc/sys/kernel/random/uuid, /etc/updraft-salt]\ncreates: /etc/updraft-salt\n", // the example's takes minutes
		drift: "rm /etc/updraft-salt", attrs: []string{"work"},
	},
	"container":    {elsewhere: "tests/lab TestContainersOnAHost, whose host has podman and an image"},
	"cron":         {needs: "package:cron", drift: "chmod 666 /etc/cron.d/updraft-cleanup", attrs: []string{"job mode"}},
	"directory":    {drift: "chmod 700 /srv/www", attrs: []string{"mode"}},
	"file":         {drift: "echo drifted >>/etc/motd", attrs: []string{"content"}},
	"group":        {drift: "groupmod -g 2001 operators", attrs: []string{"gid"}},
	"hostname":     {drift: "hostname other", attrs: []string{"live"}},
	"hosts":        {drift: "sed -i s/192.0.2.10/192.0.2.11/ /etc/hosts", attrs: []string{"entries"}},
	"interface":    {needs: "unit:systemd-networkd.service", drift: "ip link set dev eth1 mtu 1400", attrs: []string{"mtu"}},
	"kernelmodule": {drift: "true"}, // optional in the example, as many a kernel in a lab has no modules
	"mount":        {drift: "umount /srv/scratch", attrs: []string{"mounted"}},
	"nftables":     {needs: "package:nftables", drift: "nft flush ruleset", attrs: []string{"rules"}},
	"package":      {drift: "rm /etc/apt/preferences.d/updraft-nginx.pref", attrs: []string{"pin"}},
	"reboot":       {drift: "true"}, // see rebooted
	"repository":   {drift: "sed -i s/trixie/sid/ /etc/apt/sources.list.d/updraft-backports.sources", attrs: []string{"source"}},
	"symlink":      {drift: "ln -sfn /usr/share/zoneinfo/Europe/Berlin /etc/localtime", attrs: []string{"target"}},
	"sysctl":       {drift: "sysctl -qw net.ipv4.ip_forward=0", attrs: []string{"live"}},
	"timer":        {drift: "systemctl -q stop backup.timer", attrs: []string{"timer state"}},
	"unit":         {needs: "package:nginx", drift: "systemctl -q disable nginx.service", attrs: []string{"enabled"}},
	"user":         {drift: "usermod -s /bin/sh deploy", attrs: []string{"shell"}},
}

// inlineCloud is a cloud file with the example of every kind, and the commands
// that move all of them.
func inlineCloud(t *testing.T) (text, drifts string) {
	t.Helper()
	text, drifts = inlineHead+"    resources:\n"+inlineGiven, "set -e\n"
	for _, k := range all.Registry().Kinds() {
		in, ok := inlines[k.Name]
		if !ok {
			t.Errorf("nothing says how the example of kind %s drifts", k.Name)
		}
		if in.elsewhere != "" {
			continue
		}
		if in.body == "" {
			in.body = k.Example
		}
		text += "    - " + k.Name + ":" + strings.ReplaceAll("\n"+strings.TrimSpace(in.body), "\n", "\n        ") + "\n"
		if in.needs != "" {
			text += fmt.Sprintf("      needs: [%q]\n", in.needs)
		}
		drifts += in.drift + "\n"
	}
	return text, drifts
}

// remains tells of all that the examples change and that can be taken back.
const remains = `getent passwd deploy; getent group operators
cat /etc/motd /etc/hosts /etc/hostname; hostname; readlink /etc/localtime
find /etc/cron.d/ /etc/apt/ /etc/systemd/ /etc/modules-load.d/ /etc/sysctl.d/ /etc/nftables.d/ /home -name '*updraft*' -o -name '*eth1*' -o -name '*deploy*' -o -name 'backup.*' -o -name 'nginx.service'
ls /usr/sbin/nginx /usr/sbin/nft /usr/sbin/cron
findmnt /srv/scratch; grep scratch /etc/fstab; ls -d /srv/*
cat /proc/sys/net/ipv4/ip_forward
systemctl is-active nginx.service backup.timer systemd-networkd.service
systemctl is-enabled backup.timer systemd-networkd.service
ip -brief -4 address; ip route show; find /var/lib/updraft -type f
true`

// TestOneOfEveryKindInACloudFile takes the example of every kind through the
// whole product: made, drifted, told, mended, rebooted under, and taken back.
func TestOneOfEveryKindInACloudFile(t *testing.T) {
	text, drifts := inlineCloud(t)
	c := newCloud(t, "labinline", inlineHead)
	c.run("up")
	before := c.run("exec", "node1", "--", "sh", "-c", remains).stdout
	c.write(text)
	c.run("up")
	c.expectNoChanges()
	t.Run("one attribute of each drifts, is told alone, and is mended", func(t *testing.T) { drifted(t, c.with(t), drifts) })
	t.Run("a reboot that is due is done once", func(t *testing.T) { rebooted(t, c.with(t)) })
	t.Run("what leaves the file is taken back", func(t *testing.T) {
		c := c.with(t)
		c.write(inlineHead)
		c.run("up")
		c.expectNoChanges()
		if diff := cmp.Diff(before, c.run("exec", "node1", "--", "sh", "-c", remains).stdout); diff != "" {
			t.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
	})
}

// planned returns the attributes that a plan would change, by reference.
func planned(c *cloud) map[string][]string {
	c.t.Helper()
	out, _ := c.try("plan", "--json")
	var plan struct {
		Steps []struct {
			ID, Kind, Action string
			Changes          []struct{ Attr string }
		}
	}
	if err := json.Unmarshal([]byte(out.stdout), &plan); err != nil {
		c.t.Fatalf("%v\n%s", err, out.all())
	}
	got := map[string][]string{}
	for _, s := range plan.Steps {
		for _, ch := range s.Changes {
			got[s.Kind] = append(got[s.Kind], ch.Attr)
		}
		if s.Action != "update" {
			c.t.Errorf("%s of %s, which was only moved", s.Action, s.ID)
		}
	}
	return got
}

func drifted(t *testing.T, c *cloud, drifts string) {
	c.run("exec", "node1", "--", "sh", "-c", drifts)
	want := map[string][]string{}
	for kind, in := range inlines {
		if in.attrs != nil {
			want[kind] = in.attrs
		}
	}
	if diff := cmp.Diff(want, planned(c)); diff != "" {
		t.Errorf("%d kinds drifted, and the plan says (-want +got):\n%s", len(want), diff)
	}
	c.run("up")
	c.expectNoChanges()
}

// rebooted changes a file that the example of kind reboot watches.
func rebooted(t *testing.T, c *cloud) {
	started := func() string {
		return c.run("exec", "node1", "--", "cut", "-d", " ", "-f", "22", "/proc/1/stat").stdout
	}
	before := started()
	c.run("exec", "node1", "--", "sh", "-c", "mkdir -p /etc/default; touch /etc/default/grub")
	if diff := cmp.Diff(map[string][]string{"reboot": {"boot"}}, planned(c)); diff != "" {
		t.Errorf("a reboot is due, and the plan says (-want +got):\n%s", diff)
	}
	c.run("up")
	after := started()
	c.expectNoChanges()
	if again := started(); after == before || again != after {
		t.Errorf("init was started at %q, after the reboot at %q, and later at %q", before, after, again)
	}
}

// TestUnitsAreEnabledSideBySide has many units enabled at once. Until systemd has
// read the symlinks of one, it calls all others outdated.
func TestUnitsAreEnabledSideBySide(t *testing.T) {
	const text = `    - unit: {name: beside%d.service, enabled: true, state: started, content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 0.%d\n[Install]\nWantedBy=multi-user.target\n"}
      needs: ["file:/etc/beside%[2]d"]
`
	var b strings.Builder
	b.WriteString(strings.NewReplacer("labinline", "labbeside", "10.89.25.", "10.89.26.", "512MiB", "256MiB").Replace(inlineHead) + "    resources:\n")
	for i := range 5 {
		fmt.Fprintf(&b, "    - file: {path: /etc/beside%d, content: \"x\\n\"}\n", i)
	}
	for i := range 40 {
		fmt.Fprintf(&b, text, i, i%5)
	}
	c := newCloud(t, "labbeside", b.String())
	c.run("up")
	c.expectNoChanges()
}
