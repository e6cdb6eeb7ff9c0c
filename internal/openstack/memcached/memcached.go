// Package memcached is the cache that the services share: tokens that were
// validated lately, and the dashboard's sessions.
//
// Each controller has one, and every client knows all of them: losing one costs
// what was in it, which is only ever a copy. It listens on its own host alone, for
// HAProxy and its clients there; between controllers HAProxy speaks TLS for both,
// since the clients in use have no TLS for memcached that all of them know
// (oslo.cache's pool has none).
package memcached

import (
	"strconv"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

// megabytes is how much each controller caches.
const megabytes = 64

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: "memcached", Doc: "A cache for tokens and sessions on each controller.", Build: build,
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, "memcached")
		b.Container(container.Resource{
			Name: "memcached", Image: "infra", User: "memcache",
			Exec: []string{
				"memcached", "-l", stack.Local, "-p", strconv.Itoa(stack.MemcachePort), "-m", strconv.Itoa(megabytes),
				"-t", "1", "-U", "0",
			},
			Ready: &container.Ready{TCP: stack.HostPort(stack.Local, stack.MemcachePort)},
		})
		out = append(out, b.Items()...)
	}
	return out
}
