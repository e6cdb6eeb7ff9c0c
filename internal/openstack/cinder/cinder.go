// Package cinder makes volumes: disks that outlive servers, and go from one to
// another (Cinder).
//
// A cloud has it when its file says services: [cinder]. It runs in an image of its
// own (docs/adr/0018-optional-services.md).
//
// Volumes are files on GlusterFS, which controllers and computes have mounted
// (docs/adr/0021-volumes.md): QEMU has them open as it has any disk. With one
// controller there is one copy of each, with three there are three.
//
// API and scheduler run on all controllers, cinder-volume on one of them at a time:
// the one that holds a lease in etcd (package lease). So no lock has to be shared, and
// whatever the last one had not finished is ended by the next when it starts: nothing
// stays "creating" for ever.
package cinder

import (
	_ "embed"
	"path"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = spec.ServiceCinder
	port = 8776
	// serviceType is what clients of release epoxy look for in the catalogue; those
	// that ask for volumev3 find it under this name as well.
	serviceType = "block-storage"
	// apiThreads are those of a process of the API: attaching waits for cinder-volume,
	// and others must not wait for that. Under uWSGI Cinder has threads of the system,
	// where Nova has eventlet's.
	apiThreads = 8
	// requestTimeout bounds a request, in seconds: attaching and detaching wait for
	// cinder-volume, which may be on its way to another controller.
	requestTimeout = 180

	// stateDir is where containers see the data directory of the host, and of
	// computes with it where volumes are mounted.
	stateDir = "/var/lib/cinder"
	// backend is the section of cinder-volume's settings.
	backend = "volumes"
	// share is what Cinder notes of where a volume is: the same for good.
	share, sharePath = "updraft", "/volumes"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Volumes: disks that outlive servers (Cinder).", Build: build, User: name,
		Optional: true, Image: name,
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{{
			Service: name, Type: serviceType, Port: port, Path: "/v3/$(project_id)s", Check: "/healthcheck", Status: "200", Timeout: requestTimeout,
		}},
		// Not removed while there are volumes.
		Accounts: func() []api.Resource { return []api.Resource{&api.Volumes{}} },
		Sections: sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		controller(b)
		out = append(out, b.Items()...)
	}
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		data(b)
		out = append(out, b.Items()...)
	}
	return out
}

// data adds the directory below which volumes are mounted. QEMU, which is not root,
// opens files in it.
func data(b *stack.Builder) string { return b.Dir(stack.DataDir(name), "", "0711") }

func controller(b *stack.Builder) {
	d := b.D
	conf := b.Oslo("cinder.conf", config(d, b.Host), name)
	schema := stack.OnHost(d.First(), "command:cinder schema")
	if b.Host == d.First() {
		job := stack.Job{Image: name, User: name, Run: []string{"cinder-manage", "db", "sync"}, Volumes: conf.Volumes, Needs: conf.Needs()}
		schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "volumes"})
	}
	listen := stack.HostPort(stack.Local, port)
	ini := b.UWSGI(stack.UWSGI{
		Name: "cinder-api", App: d.Release.Path("cinder-wsgi"), Listen: listen, Processes: d.Spec.Workers, Threads: apiThreads,
		Dir: stateDir,
	})
	b.Serving(port, container.Resource{
		Name: "cinder-api", Image: name, User: name, Exec: stack.Serve(ini),
		Volumes: conf.Mounted(stack.Mount(ini, ini)), RestartOn: conf.Watched(ini),
		Ready: &container.Ready{HTTP: "http://" + listen + "/healthcheck", Status: []int{200}, Timeout: stack.Patience},
	}, schema)
	b.Container(container.Resource{
		Name: "cinder-scheduler", Image: name, User: name, Exec: []string{"cinder-scheduler"}, Volumes: conf.Volumes, RestartOn: conf.Paths,
	}, schema)
	worker(b, conf, schema)
}

//go:embed updraft_volumes.py
var driver string

// ending is how long cinder-volume may take to finish what it is at.
const ending = "60s"

// worker adds cinder-volume. It is root in its container, as files of volumes are
// QEMU's while that has them open; of the host it sees no more than the volumes.
func worker(b *stack.Builder, conf stack.Oslo, schema string) {
	dir := data(b)
	module := b.Config("updraft_volumes.py", driver)
	run := []string{"cinder-volume"}
	needs := []string{schema, "directory:" + dir, gluster.Mounted(gluster.Volumes)}
	files, volumes := []string{module}, []container.Volume{stack.Mount(module, module), {Source: dir, Target: stateDir, Options: "rslave"}}
	if len(b.D.Spec.Controllers) > 1 {
		l := leased(b)
		run, needs, files = append(l.run, run...), append(needs, l.needs...), append(files, l.files...)
		volumes = append(volumes, l.volumes...)
	}
	b.Container(container.Resource{
		Name: "cinder-volume", Image: name, User: "root", Exec: run,
		Env:     map[string]string{"PYTHONPATH": path.Dir(module)},
		Volumes: conf.Mounted(volumes...), Mounts: []string{gluster.Target(gluster.Volumes)},
		RestartOn: conf.Watched(files...), StopTimeout: ending, Init: len(b.D.Spec.Controllers) > 1,
	}, needs...)
}

func config(d *stack.Deployment, h *spec.Host) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	stack.Messaging(d, &f)
	f.SetAll("DEFAULT",
		"host", h.Name,
		"my_ip", d.Address(h),
		"auth_strategy", "keystone",
		"api_paste_config", "/etc/cinder/api-paste.ini",
		"state_path", stateDir,
		"enabled_backends", backend,
		"glance_catalog_info", "image:glance:internalURL",
		"glance_ca_certificates_file", stack.CAFile,
	)
	stack.DatabaseSection(d, &f, "database", name, name)
	stack.Authtoken(d, &f, name)
	stack.ServiceUser(d, &f, name)
	// Nova takes snapshots of volumes that are in use, for administrators.
	stack.Client(d, &f, "nova", name)
	f.Set("nova", "interface", "internal")
	volumes(&f)
	stack.Locks(&f, path.Join(stateDir, "locks"))
	stack.API(&f)
	return &f
}

// volumes sets how volumes are made. The name of the host in the records of volumes
// is no controller's, so that each can take them over.
//
// cinder-volume looks at files of others' making in a process of its own, which gets
// no right beyond those of its container.
func volumes(f *stack.INI) {
	f.SetAll(backend,
		"volume_driver", "updraft_volumes.VolumeDriver",
		"volume_backend_name", backend,
		"backend_host", name,
		"nas_host", share,
		"nas_share_path", sharePath,
		"nfs_mount_point_base", path.Join(stateDir, backend),
	)
	f.SetAll("backend_defaults",
		"nfs_snapshot_support", true,
		// Files are root's or QEMU's, and nobody else reads them.
		"nas_secure_file_operations", "false",
		"nas_secure_file_permissions", "true",
		"image_volume_cache_enabled", false,
	)
	f.SetAll("cinder_sys_admin",
		"helper_command", "privsep-helper --config-file /etc/cinder/cinder.conf --config-dir /etc/cinder/cinder.conf.d",
		"capabilities", "CAP_DAC_OVERRIDE,CAP_CHOWN,CAP_FOWNER",
	)
}
