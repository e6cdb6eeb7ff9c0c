// Package placement is the service that knows what compute hosts have and who
// uses how much of it.
package placement

import (
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

const (
	name = "placement"
	port = 8778
	// threads per process: Placement waits for the database more than it computes.
	threads = 8
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Inventories of compute hosts and claims on them (Placement).", Build: build, User: name,
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{{Service: name, Type: "placement", Port: port, Check: "/", Status: "200"}},
		Sections:  sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		conf := b.Oslo("placement.conf", config(d), name)
		schema := stack.OnHost(d.First(), "command:placement schema")
		if h == d.First() {
			job := stack.Job{Image: "openstack", User: name, Run: []string{"placement-manage", "db", "sync"}, Volumes: conf.Volumes, Needs: conf.Needs()}
			schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "resource_providers"})
		}
		serve(b, conf, schema)
		out = append(out, b.Items()...)
	}
	return out
}

// serve adds the API. It waits for the schema, to which it adds its traits and
// resource classes when it starts.
func serve(b *stack.Builder, conf stack.Oslo, schema string) {
	listen := stack.HostPort(stack.Local, port)
	ini := b.UWSGI(stack.UWSGI{
		Name: name, App: b.D.Release.Path("placement-wsgi"), Listen: listen, Processes: b.D.Spec.Workers, Threads: threads,
	})
	b.Serving(port, container.Resource{
		Name: name, Image: "openstack", User: name, Exec: stack.Serve(ini),
		Volumes:   conf.Mounted(stack.Mount(ini, ini)),
		RestartOn: conf.Watched(ini),
		Ready:     &container.Ready{HTTP: "http://" + listen + "/", Status: []int{200}, Timeout: stack.Patience},
	}, schema)
}

func config(d *stack.Deployment) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	stack.DatabaseSection(d, &f, "placement_database", name, name)
	f.Set("api", "auth_strategy", "keystone")
	stack.Authtoken(d, &f, name)
	stack.API(&f)
	return &f
}
