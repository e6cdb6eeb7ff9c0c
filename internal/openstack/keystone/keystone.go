// Package keystone is the identity service: who may do what, and where the other
// services are.
//
// Tokens are Fernet tokens: nothing about them is stored, so every controller
// with the cloud's keys can validate them. Each controller makes its keys from the
// cloud's master keys and the time (package keyring), by itself and on schedule.
// Keystone reads them anew for each token, so that a rotation restarts nothing.
package keystone

import (
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

const (
	name = "keystone"
	// threads per process: Keystone waits for the database and for memcached
	// more than it computes.
	threads = 8
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Identity (Keystone): users, projects, tokens, and the catalogue of services.", Build: build,
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{{
			Service: name, Type: "identity", Port: stack.KeystonePort, Path: "/v3", Check: "/v3", Status: "200",
		}},
		Sections: sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		conf := b.Oslo("keystone.conf", config(d), name)
		needs := keys(b)
		for _, dir := range []string{keyDir(tokens), keyDir(credentials)} {
			conf.Volumes = conf.Mounted(stack.Mount(dir, dir))
		}
		schema := stack.OnHost(d.First(), "command:keystone schema")
		if h == d.First() {
			job := stack.Job{Image: "openstack", User: name, Run: []string{"keystone-manage", "db_sync"}, Volumes: conf.Volumes, Needs: conf.Needs()}
			schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "user"})
			bootstrap(b, conf, append(needs, schema))
		}
		reencrypt(b, conf, schema)
		serve(b, conf, append(needs, schema))
		out = append(out, b.Items()...)
	}
	return out
}

// serve adds the API. It waits for the schema: a token cannot be had before.
func serve(b *stack.Builder, conf stack.Oslo, needs []string) {
	listen := stack.HostPort(stack.Local, stack.KeystonePort)
	ini := b.UWSGI(stack.UWSGI{
		Name: name, App: b.D.Release.Path("keystone-wsgi"), Listen: listen, Processes: b.D.Spec.Workers, Threads: threads,
	})
	b.Serving(stack.KeystonePort, container.Resource{
		Name: name, Image: "openstack", User: name, Exec: stack.Serve(ini),
		Volumes:   conf.Mounted(stack.Mount(ini, ini)),
		RestartOn: conf.Watched(ini),
		Ready:     &container.Ready{HTTP: "http://" + listen + "/v3", Status: []int{200}, Timeout: stack.Patience},
	}, needs...)
}

func config(d *stack.Deployment) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	// Links lead to where the request came to (public_endpoint would be one for all).
	stack.DatabaseSection(d, &f, "database", name, name)
	f.Set("token", "provider", "fernet")
	// Receipts have a repository of their own by default, which is not there.
	// Keystone's own rotation, to which the number of keys matters, is not used.
	for _, section := range []string{"fernet_tokens", "fernet_receipts"} {
		f.SetAll(section, "key_repository", keyDir(tokens), "max_active_keys", repository(d, tokens).Size())
	}
	f.Set("credential", "key_repository", keyDir(credentials))
	stack.Cache(d, &f)
	stack.API(&f)
	stack.Locks(&f, "/tmp")
	return &f
}
