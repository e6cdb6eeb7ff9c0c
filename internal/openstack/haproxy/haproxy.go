// Package haproxy is what clients of the cloud talk to: every API at the virtual
// address, over TLS, and the database.
//
// It is also what speaks TLS for programs of controllers that do not do so
// themselves: the API processes and memcached listen on their own host alone, and
// what goes from one controller to another goes from its HAProxy to the other's.
// Both show a certificate of the cloud's authority, and whoever calls looks for the
// name it called. On the controller that has the virtual address requests go
// straight to its own processes.
//
// Each controller runs one. Whichever holds the address has the traffic; the
// others listen as well (ip_nonlocal_bind) and have it at once when the address
// comes to them. A changed configuration is taken over without losing a
// connection: old workers serve what they have until it ends.
package haproxy

import (
	"fmt"
	"path"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
)

const (
	name = "haproxy"
	// AlivePort is where HAProxy tells the host itself that it works, at
	// AlivePath on the loopback interface.
	AlivePort = 8404
	AlivePath = "/alive"
)

// defaultTimeout is how long a request may take, in seconds.
const defaultTimeout = 60

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "TLS and load balancing for all APIs and the database, at the virtual address (HAProxy).", Build: build}
}

func configFile() string { return path.Join(stack.ConfigDir(name), "haproxy.cfg") }

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		dir := b.Dir(stack.ConfigDir(name), "", "0755")
		run := b.Runtime("/run/" + name)
		cert, key := d.Secrets.Certificate(name, d.VIP().String())
		watched := []string{b.Secret("vip.pem", cert+key, name), b.Leaf(name), b.Config("haproxy.cfg", config(d, h))}
		nonlocal := &sysctl.Resource{Name: "net.ipv4.ip_nonlocal_bind", Value: "1"}
		if d.VIP().Is6() {
			nonlocal.Name = "net.ipv6.ip_nonlocal_bind"
		}
		b.Add(configset.Item{Resource: nonlocal, Phase: engine.Configure})
		b.Container(container.Resource{
			Name: name, Image: "infra",
			Exec:     []string{"haproxy", "-W", "-db", "-f", configFile()},
			Volumes:  []container.Volume{stack.Mount(dir, dir), {Source: "/run/" + name, Target: "/run/" + name}},
			ReloadOn: watched, Reload: []string{"kill", "-USR2"},
			Ready: &container.Ready{HTTP: fmt.Sprintf("http://127.0.0.1:%d%s", AlivePort, AlivePath), Status: []int{200}},
		}, "sysctl:"+nonlocal.Name, run)
		out = append(out, b.Items()...)
	}
	return out
}
