// Package keepalived holds the virtual address of the APIs on one controller
// whose HAProxy works and reaches the database that most controllers agree on.
//
// Controllers tell each other by unicast (VRRP), as many networks carry no
// multicast. An address that moved stays where it is when the first controller
// comes back: moving it once more would only break connections again.
//
// A controller that gives the address up in order answers first what it was asked,
// and then says so (priority 0), so that another one takes it in a quarter of a
// second. It does so whenever HAProxy or keepalived is ended or restarted, and when
// the host shuts down.
package keepalived

import (
	_ "embed"
	"fmt"
	"hash/fnv"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/haproxy"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const name = "keepalived"

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "The virtual address of the APIs (keepalived).", Build: build}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for i, h := range d.Spec.Controllers {
		b := d.On(h, name)
		dir := b.Dir(stack.ConfigDir(name), "", "0755")
		conf := b.Config("keepalived.conf", config(d, h, i))
		check := b.Config("check.sh", checkScript(d))
		c := container.Resource{
			Name: name, Image: "infra", Privileged: true,
			Exec:     []string{"keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file", conf},
			Volumes:  []container.Volume{stack.Mount(dir, dir)},
			ReloadOn: []string{conf, check}, Reload: []string{"kill", "-HUP"},
			After: []string{"haproxy"},
			// Who answers there is the controller that has the address. With one
			// controller that is this one; with more, it is enough that one has.
			// Nobody answers where the address is not: that takes the kernel three
			// seconds to notice.
			Ready: &container.Ready{Exec: []string{"timeout", "1", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", d.VIP(), stack.KeystonePort)}},
		}
		if len(d.Spec.Controllers) > 1 {
			script := b.Config("leave.sh", leaveScript)
			c.PartOf = c.After
			c.BeforeStart, c.BeforeStop = []string{"/usr/bin/bash", script, "enter"}, []string{"/usr/bin/bash", script, "leave"}
			for _, a := range d.VIPs() { // that of the cloud first
				c.BeforeStop = append(c.BeforeStop, a.String())
			}
		}
		b.Container(c, "container:haproxy")
		out = append(out, b.Items()...)
	}
	return out
}

//go:embed leave.sh
var leaveScript string

// checkScript asks HAProxy on this host whether it is of use. A controller that is cut
// off from the others, but not from clients, would go on to hold the address beside
// the one that the others have chosen, and answer with errors. Bash is what the image
// has.
func checkScript(d *stack.Deployment) string {
	port := haproxy.UsefulPort
	if len(d.Spec.Controllers) == 1 {
		port = haproxy.AlivePort // there is nobody to leave it to
	}
	return fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d || exit 1
printf 'GET %s HTTP/1.0\r\n\r\n' >&3
read -r -t 2 _ status _ <&3
test "$status" = 200
`, port, haproxy.AlivePath)
}

// highest is the priority of the first controller.
const highest = 200

// config is the configuration of a controller.
//
// A controller takes the address after three advertisements of another were
// missed, some 1.2 s after its end. So it runs ahead of all that keeps a host busy, and
// still: with 0.9 s, controllers that shared two cores took it from one that worked.
// Where there is no other, there is nobody to be waited for.
//
// Source: keepalived.conf(5); RFC 5798.
func config(d *stack.Deployment, h *spec.Host, index int) string {
	var b strings.Builder
	b.WriteString(stack.Header)
	interval := "0.4"
	if len(d.Spec.Controllers) == 1 {
		interval = "0.1"
	}
	fmt.Fprintf(&b, `global_defs {
	router_id %s
	vrrp_version 3
	vrrp_garp_master_delay 1
	enable_script_security
	script_user root
	max_auto_priority -1
	vrrp_priority -20
}
vrrp_script haproxy {
	script "/usr/bin/bash %s"
	interval 1
	timeout 2
	fall 4
	rise 1
}
vrrp_instance api {
	state BACKUP
	nopreempt
	interface %s
	virtual_router_id %d
	priority %d
	advert_int %s
	track_script {
		haproxy
	}
`, h.Name, path.Join(stack.ConfigDir(name), "check.sh"), nic(h, d.Spec.VIP.Network), routerID(d), highest-index, interval)
	if len(d.Spec.Controllers) > 1 {
		fmt.Fprintf(&b, "\tunicast_src_ip %s\n\tunicast_peer {\n", d.Address(h))
		for _, c := range d.Spec.Controllers {
			if c != h {
				fmt.Fprintf(&b, "\t\t%s\n", d.Address(c))
			}
		}
		b.WriteString("\t}\n")
	}
	fmt.Fprintf(&b, "\tvirtual_ipaddress {\n\t\t%s\n\t}\n%s}\n", beside(h, d.Spec.VIP.Network, d.VIP()), alongside(d, h))
	return b.String()
}

// alongside are the addresses for users, which go where that of the cloud goes: with
// one instance there is one holder. They may be of the other family, and in other
// networks; an interface that is down there gives up all.
func alongside(d *stack.Deployment, h *spec.Host) string {
	if len(d.Spec.Public) == 0 {
		return ""
	}
	var tracked, held strings.Builder
	var seen []string
	for _, v := range d.Spec.Public {
		dev := nic(h, v.Network)
		if !slices.Contains(seen, dev) {
			seen = append(seen, dev)
			fmt.Fprintf(&tracked, "\t\t%s\n", dev)
		}
		fmt.Fprintf(&held, "\t\t%s dev %s\n", beside(h, v.Network, v.Address), dev)
	}
	return "\ttrack_interface {\n" + tracked.String() + "\t}\n\tvirtual_ipaddress_excluded {\n" + held.String() + "\t}\n"
}

// beside gives a virtual address the length of the prefix that the host's own has in
// the network. With that it is a secondary one to Linux, and who connects to it on the
// host that has it does so from the host's own. A connection from an address that has
// moved away could neither send nor be refused: a service would wait for a quarter of
// an hour for its database.
func beside(h *spec.Host, network string, a netip.Addr) netip.Prefix {
	for _, n := range h.NICs {
		if n.Network == network && n.Address.IsValid() && n.Address.Masked().Contains(a) {
			return netip.PrefixFrom(a, n.Address.Bits())
		}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// nic is the name of a host's interface to a network.
func nic(h *spec.Host, network string) string {
	for _, n := range h.NICs {
		if n.Network == network {
			return n.Name
		}
	}
	return "" // the cloud file's checks see to that
}

// routerID tells clouds in one network apart: 1 to 255.
func routerID(d *stack.Deployment) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(d.Cloud.Name + "/" + strconv.Quote(d.VIP().String())))
	return 1 + int(hash.Sum32()%255)
}
