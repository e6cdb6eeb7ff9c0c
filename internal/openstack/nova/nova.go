// Package nova is the compute service: it makes servers and looks after them.
//
// Controllers run the API, the metadata service, conductor, scheduler and the
// proxy to servers' consoles; computes run nova-compute beside libvirt. Computes
// have no password of the database: what they want of it they ask of a conductor.
//
// There is one cell beside cell0. Its mapping in the database names the database
// and the message queue by templates that every service fills in from its own
// configuration, so a rotated password needs no new mapping, and the mapping
// holds no secret.
package nova

import (
	_ "embed"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

const (
	name     = "nova"
	image    = "openstack"
	apiPort  = 8774
	stateDir = "/var/lib/nova"

	// apiProcesses is the least number: a process does one request at a time, and
	// some (consoles, attaching) wait for a compute.
	apiProcesses = 2
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Servers (Nova): API, scheduler, conductor, console proxy, and nova-compute on computes.",
		Build: build, User: name,
		Databases: []stack.Database{{Name: "nova_api", User: name}, {Name: "nova", User: name}, {Name: "nova_cell0", User: name}},
		Endpoints: []stack.Endpoint{
			{Service: name, Type: "compute", Port: apiPort, Path: "/v2.1", Check: "/", Status: "200"},
			{Port: stack.MetadataPort, Check: "/", Status: "200"},
			// Consoles are websockets that stay open for as long as somebody looks.
			{Port: stack.ConsolePort, Check: "/vnc_lite.html", Status: "200", Timeout: 3600},
		},
		Sections: sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		conf := b.Oslo("nova.conf", controllerConfig(d, d.Address(h)), name)
		if h == d.First() {
			schemas(b, conf)
			schedulable(b, conf)
		}
		controller(b, conf)
		out = append(out, b.Items()...)
	}
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		compute(b)
		out = append(out, b.Items()...)
	}
	return out
}

// controller adds the services of a controller. They wait for what they read at
// their start: the cells, which are the last of the schema's jobs.
func controller(b *stack.Builder, conf stack.Oslo) {
	d := b.D
	var mapped []string
	for _, job := range []string{"nova schema", "nova_cell0 schema", "nova cells"} {
		mapped = append(mapped, stack.OnHost(d.First(), "command:"+job))
	}
	wsgi(b, conf, "nova-api", apiPort, max(apiProcesses, d.Spec.Workers), mapped)
	wsgi(b, conf, "nova-metadata", stack.MetadataPort, d.Spec.Workers, mapped)
	needs := slices.Concat(mapped, placementKnown(d))
	b.Container(container.Resource{
		Name: "nova-conductor", Image: image, User: name, Exec: []string{"nova-conductor"}, Volumes: conf.Volumes, RestartOn: conf.Paths,
	}, needs...)
	program := b.Config("started.py", startedProgram)
	b.Container(container.Resource{
		Name: "nova-scheduler", Image: image, User: name, Exec: []string{"python3", program, "nova-scheduler", started},
		Volumes: conf.Mounted(stack.Mount(program, program)), RestartOn: conf.Watched(program),
	}, needs...)
	b.Serving(stack.ConsolePort, container.Resource{
		Name: "nova-novncproxy", Image: image, User: name, Exec: []string{"nova-novncproxy", "--web", d.Release.Path("novnc")},
		Volumes: conf.Volumes, RestartOn: conf.Paths,
		Ready: &container.Ready{HTTP: "http://" + stack.HostPort(stack.Local, stack.ConsolePort) + "/vnc_lite.html", Status: []int{200}, Timeout: stack.Patience},
	}, mapped...)
}

// startedProgram runs a service in a way that its end of start can be seen; a
// process that runs, for nova-compute even one with a connection to libvirt, comes
// before what it may fail at.
//
//go:embed started.py
var startedProgram string

// started is the file that startedProgram makes, in the container.
const started = "/tmp/updraft-started"

// placementKnown is what conductor and scheduler look up when they start, and end
// without: their own user, and where Placement is.
func placementKnown(d *stack.Deployment) []string {
	needs := []string{api.ID(&api.RoleAssignment{User: name, Role: "admin", Project: stack.Project})}
	for _, i := range []string{"internal", "public"} {
		needs = append(needs, api.ID(&api.Endpoint{Type: "placement", Interface: i, Region: d.Spec.Region}))
	}
	return needs
}

// wsgi adds an API under uWSGI. Answers of remote calls are read in eventlet's hub
// of the thread that asked first; with a second thread all later calls time out,
// so there are processes in place of threads.
func wsgi(b *stack.Builder, conf stack.Oslo, program string, port, processes int, needs []string) {
	listen := stack.HostPort(stack.Local, port)
	ini := b.UWSGI(stack.UWSGI{Name: program, App: b.D.Release.Path(program + "-wsgi"), Listen: listen, Processes: processes, Dir: stateDir})
	b.Serving(port, container.Resource{
		Name: program, Image: image, User: name, Exec: stack.Serve(ini),
		Volumes: conf.Mounted(stack.Mount(ini, ini)), RestartOn: conf.Watched(ini),
		Ready: &container.Ready{HTTP: "http://" + listen + "/", Status: []int{200}, Timeout: stack.Patience},
	}, needs...)
}

// common is what all of Nova's services are told.
func common(d *stack.Deployment, address string) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	f.SetAll("DEFAULT", "my_ip", address, "state_path", stateDir)
	stack.Messaging(d, &f)
	stack.ServiceUser(d, &f, name)
	stack.Client(d, &f, "placement", name)
	stack.Client(d, &f, "neutron", name)
	// Images are asked for with the user's own token.
	f.SetAll("glance", "region_name", d.Spec.Region, "cafile", stack.CAFile)
	if d.Spec.Storage.Volumes != "" {
		stack.SignIn(d, &f, "cinder", name)
		f.SetAll("cinder", "catalog_info", "block-storage::internalURL", "os_region_name", d.Spec.Region)
	}
	stack.Locks(&f, path.Join(stateDir, "locks"))
	f.SetAll("vnc", "enabled", true, "novncproxy_base_url", consoleURL(d))
	return &f
}

func consoleURL(d *stack.Deployment) string {
	return d.URL(stack.Endpoint{Port: stack.ConsolePort, Path: "/vnc_lite.html"})
}

// discoverInterval is how often, in seconds, the scheduler looks for computes that
// are in no cell yet. It is one query; a compute that was just added waits for it.
const discoverInterval = 5

func controllerConfig(d *stack.Deployment, address string) *stack.INI {
	f := common(d, address)
	stack.Cache(d, f)
	stack.Authtoken(d, f, name)
	stack.DatabaseSection(d, f, "api_database", name, "nova_api")
	stack.DatabaseSection(d, f, "database", name, "nova")
	f.SetAll("neutron",
		"service_metadata_proxy", true,
		"metadata_proxy_shared_secret", d.Secrets.Password(stack.SecretMetadata),
	)
	f.SetAll("DEFAULT", "enabled_apis", "osapi_compute,metadata", "osapi_compute_workers", d.Spec.Workers, "metadata_workers", d.Spec.Workers)
	f.Set("conductor", "workers", d.Spec.Workers)
	f.SetAll("scheduler", "workers", 1, "discover_hosts_in_cells_interval", discoverInterval)
	f.SetAll("vnc", "novncproxy_host", stack.Local, "novncproxy_port", stack.ConsolePort)
	stack.API(f)
	return f
}

// template is a URL with its password left open for Nova to fill in from its own.
// With more than one server in the URL Nova numbers the passwords.
//
// Source: Nova's documentation, "Cells (v2)", "Template URLs in Cell Mappings".
func template(url, password string) string {
	field := "{password}"
	if strings.Count(url, "@") > 1 {
		field = "{password1}"
	}
	return strings.ReplaceAll(url, password, field)
}
