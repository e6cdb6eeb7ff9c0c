// Package keepalived holds the virtual address of the APIs on one controller
// whose HAProxy works.
//
// Controllers tell each other by unicast (VRRP), as many networks carry no
// multicast. An address that moved stays where it is when the first controller
// comes back: moving it once more would only break connections again.
package keepalived

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"path"
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
		check := b.Config("check.sh", checkScript)
		b.Container(container.Resource{
			Name: name, Image: "infra", Privileged: true,
			Exec:     []string{"keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file", conf},
			Volumes:  []container.Volume{stack.Mount(dir, dir)},
			ReloadOn: []string{conf, check}, Reload: []string{"kill", "-HUP"},
			After: []string{"haproxy"},
			// Who answers there is the controller that has the address. With one
			// controller that is this one; with more, it is enough that one has.
			// Nobody answers where the address is not: that takes the kernel three
			// seconds to notice.
			Ready: &container.Ready{Exec: []string{"timeout", "0.5", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", d.VIP(), stack.KeystonePort)}},
		}, "container:haproxy")
		out = append(out, b.Items()...)
	}
	return out
}

// checkScript asks HAProxy on this host. Bash is what the image has.
var checkScript = fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d || exit 1
printf 'GET %s HTTP/1.0\r\n\r\n' >&3
read -r -t 2 _ status _ <&3
test "$status" = 200
`, haproxy.AlivePort, haproxy.AlivePath)

// highest is the priority of the first controller.
const highest = 200

// config is the configuration of a controller.
//
// A controller takes the address after three advertisements of another were
// missed. Where there is no other, there is nobody to be waited for.
//
// Source: keepalived.conf(5); RFC 5798.
func config(d *stack.Deployment, h *spec.Host, index int) string {
	var b strings.Builder
	b.WriteString(stack.Header)
	interval := "1"
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
}
vrrp_script haproxy {
	script "/usr/bin/bash %s"
	interval 2
	timeout 2
	fall 2
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
`, h.Name, path.Join(stack.ConfigDir(name), "check.sh"), nic(d, h), routerID(d), highest-index, interval)
	if len(d.Spec.Controllers) > 1 {
		fmt.Fprintf(&b, "\tunicast_src_ip %s\n\tunicast_peer {\n", d.Address(h))
		for _, c := range d.Spec.Controllers {
			if c != h {
				fmt.Fprintf(&b, "\t\t%s\n", d.Address(c))
			}
		}
		b.WriteString("\t}\n")
	}
	fmt.Fprintf(&b, "\tvirtual_ipaddress {\n\t\t%s\n\t}\n}\n", netip.PrefixFrom(d.VIP(), d.VIP().BitLen()))
	return b.String()
}

// nic is the name of a host's interface to the APIs' network.
func nic(d *stack.Deployment, h *spec.Host) string {
	for _, n := range h.NICs {
		if n.Network == d.Spec.VIP.Network {
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
