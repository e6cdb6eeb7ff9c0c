// Package glance keeps the images that servers are made of.
//
// Images are files below /var/lib/updraft/glance/images of a controller. With more
// than one controller that directory must be the same everywhere (storage.images:
// gluster, or a mount of another shared file system), or an image can only be had
// from the controller that took it; Build warns of it.
package glance

import (
	"path"

	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = "glance"
	port = 9292
	// processes is the least number: one that takes or gives an image does
	// nothing else meanwhile, not even answer HAProxy's checks.
	processes = 2
	// requestTimeout is how long HAProxy lets a transfer pause, in seconds.
	requestTimeout = 600
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Images (Glance), kept as files.", Build: build, Stores: stores, User: name,
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{{
			Service: name, Type: "image", Port: port, Check: "/healthcheck", Status: "200", Timeout: requestTimeout, Peers: true,
		}},
		Sections: sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	shared := d.Spec.Storage.Images == spec.StorageGluster
	if len(d.Spec.Controllers) > 1 && !shared {
		d.Diags.Warnf(d.Spec.Pos, "openstack.storage.images", "write storage: {images: gluster} with three controllers, or mount a shared file system at "+gluster.Target(gluster.Images)+" of all",
			"an image can only be had from the controller that took it")
	}
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		listen := stack.HostPort(stack.Local, port)
		conf := b.Oslo("glance-api.conf", config(d, h), name)
		data := b.Data(name)
		store := container.Volume{Source: data, Target: dataDir}
		needs, mounts := []string{"directory:" + data}, []string(nil)
		if shared {
			store.Options = "rslave" // see libvirt.Shared
			needs, mounts = append(needs, gluster.Mounted(gluster.Images)), []string{gluster.Target(gluster.Images)}
		}
		schema := stack.OnHost(d.First(), "command:glance schema")
		if h == d.First() {
			// The package's own glance-manage.conf names another database.
			run := []string{"glance-manage", "--config-file", "/etc/glance/glance-api.conf", "db_sync"}
			job := stack.Job{Image: "openstack", User: name, Run: run, Volumes: conf.Volumes, Needs: conf.Needs()}
			schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "images"})
		}
		ini := b.UWSGI(stack.UWSGI{
			Name: name, App: d.Release.Path("glance-wsgi"), Listen: listen, Processes: max(processes, d.Spec.Workers), Streams: true,
		})
		b.Serving(port, container.Resource{
			Name: name, Image: "openstack", User: name, Exec: stack.Serve(ini),
			// By which it believes the other controllers.
			Env:       map[string]string{"REQUESTS_CA_BUNDLE": stack.CAFile},
			Volumes:   conf.Mounted(stack.Mount(ini, ini), store),
			Mounts:    mounts,
			RestartOn: conf.Watched(ini),
			Ready:     &container.Ready{HTTP: "http://" + listen + "/healthcheck", Status: []int{200}, Timeout: stack.Patience},
		}, append(needs, schema)...)
		out = append(out, b.Items()...)
	}
	return out
}

// dataDir is where Glance sees its data.
const dataDir = "/var/lib/glance"

func config(d *stack.Deployment, h *spec.Host) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	f.SetAll("DEFAULT",
		"enabled_backends", "store:file",
		// Imports are staged on the controller that took them.
		"worker_self_reference_url", "https://"+stack.HostPort(d.Address(h), port),
	)
	stack.DatabaseSection(d, &f, "database", name, name)
	f.Set("glance_store", "default_backend", "store")
	for _, s := range [][2]string{{"store", "images"}, {"os_glance_staging_store", "staging"}, {"os_glance_tasks_store", "tasks"}} {
		f.Set(s[0], "filesystem_store_datadir", path.Join(dataDir, s[1]))
	}
	stack.Authtoken(d, &f, name)
	f.Set("paste_deploy", "flavor", "keystone")
	stack.API(&f)
	stack.Locks(&f, path.Join(dataDir, "locks"))
	return &f
}
