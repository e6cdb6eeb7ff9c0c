// Package keystone is the identity service: who may do what, and where the other
// services are.
//
// Tokens are Fernet tokens: nothing about them is stored, so every controller
// with the cloud's keys can validate them. Keys come with the cloud's secrets as
// files, and Keystone reads them anew for each token, so rotating them restarts
// nothing.
package keystone

import (
	"maps"
	"path"
	"slices"
	"strconv"

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
		fernet, needs := keys(b, "fernet")
		credential, more := keys(b, "credential")
		needs = append(needs, more...)
		conf.Volumes = conf.Mounted(stack.Mount(fernet, fernet), stack.Mount(credential, credential))
		schema := stack.OnHost(d.First(), "command:keystone schema")
		if h == d.First() {
			job := stack.Job{Image: "openstack", User: name, Run: []string{"keystone-manage", "db_sync"}, Volumes: conf.Volumes, Needs: conf.Needs()}
			schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "user"})
			bootstrap(b, conf, append(needs, schema))
		}
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
	b.Container(container.Resource{
		Name: name, Image: "openstack", User: name, Exec: stack.Serve(ini),
		Volumes:   conf.Mounted(stack.Mount(ini, ini)),
		RestartOn: conf.Watched(ini),
		Ready:     &container.Ready{HTTP: "http://" + listen + "/v3", Status: []int{200}, Timeout: stack.Patience},
	}, needs...)
}

func config(d *stack.Deployment) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	f.Set("DEFAULT", "public_endpoint", "https://"+d.VIP().String()+":"+strconv.Itoa(stack.KeystonePort))
	stack.DatabaseSection(d, &f, "database", name, name)
	f.Set("token", "provider", "fernet")
	f.Set("fernet_tokens", "key_repository", keyDir("fernet"))
	f.Set("fernet_tokens", "max_active_keys", activeKeys)
	// Receipts have a repository of their own by default, which is not there.
	f.Set("fernet_receipts", "key_repository", keyDir("fernet"))
	f.Set("fernet_receipts", "max_active_keys", activeKeys)
	f.Set("credential", "key_repository", keyDir("credential"))
	stack.Cache(d, &f)
	stack.API(&f)
	stack.Locks(&f, "/tmp")
	return &f
}

// activeKeys is how many Fernet keys Keystone keeps in mind. It only matters to
// Keystone's own rotation, which is not used.
const activeKeys = 5

// keyDir is where a repository of keys lies, on hosts and in containers.
func keyDir(repository string) string {
	return path.Join(stack.ConfigDir(name), repository+"-keys")
}

// keys adds the files of a repository of keys and returns its directory, and
// references to the files.
func keys(b *stack.Builder, repository string) (dir string, needs []string) {
	dir = b.Dir(keyDir(repository), name, "0700")
	repo := b.D.Secrets.FernetKeys(name + "-" + repository)
	for _, n := range slices.Sorted(maps.Keys(repo)) {
		needs = append(needs, "file:"+b.Secret(path.Join(repository+"-keys", n), repo[n], name))
	}
	return dir, needs
}
