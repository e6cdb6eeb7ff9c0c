// Package masakari has servers of a compute that died run elsewhere, and servers that
// ended by themselves run again, without a person (Masakari).
//
// A cloud has it when its file says services: [masakari]. Servers' disks must be on
// shared storage: elsewhere, a server starts with the disk that it had. API and engine
// run on controllers, the monitor of servers beside libvirtd on computes.
//
// Masakari's own monitor of hosts is not used: it wants Pacemaker or Consul. Package
// watch is in its place, with what makes sure that no server runs twice
// (docs/adr/0019-instance-recovery.md).
package masakari

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/libvirt"
	"github.com/updraft-cloud/updraft/internal/openstack/masakari/watch"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = "masakari"
	port = 15868
	// segment is Masakari's name for all computes together.
	segment = "updraft"
	// evacuation is how long, in seconds, a server may take to start elsewhere.
	evacuation = 300
	// retry is after how many seconds what failed is tried once more.
	retry = 30
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Servers of a compute that died run elsewhere (Masakari): API, engine, and monitors.", Build: build, User: name,
		Optional: true, Image: name, OnComputes: true, Commands: []string{"segment", "notification", "vmove"},
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{{Service: name, Type: "instance-ha", Port: port, Path: "/v1", Check: "/", Status: "200"}},
		Sections:  sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	if d.Spec.Storage.Instances != spec.StorageGluster {
		d.Diags.Errorf(d.Spec.Pos, "openstack.services", "write storage: {instances: gluster} with three controllers, or take masakari out",
			"masakari would start servers elsewhere with disks made anew, as theirs are on the compute that died")
	}
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		controller(b)
		out = append(out, b.Items()...)
	}
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		compute(b)
		out = append(out, b.Items()...)
	}
	return out
}

func controller(b *stack.Builder) {
	d := b.D
	conf := b.Oslo("masakari.conf", config(d, b.Host), name)
	schema := stack.OnHost(d.First(), "command:masakari schema")
	if b.Host == d.First() {
		job := stack.Job{Image: name, User: name, Run: []string{"masakari-manage", "db", "sync"}, Volumes: conf.Volumes, Needs: conf.Needs()}
		schema = b.Schema(stack.Schema{Job: job, Database: name, Versions: "masakari_alembic_version", Witness: "failover_segments"})
	}
	listen := stack.HostPort(stack.Local, port)
	ini := b.UWSGI(stack.UWSGI{Name: "masakari-api", App: d.Release.Path("masakari-wsgi"), Listen: listen, Processes: d.Spec.Workers})
	b.Serving(port, container.Resource{
		Name: "masakari-api", Image: name, User: name, Exec: stack.Serve(ini),
		Volumes: conf.Mounted(stack.Mount(ini, ini)), RestartOn: conf.Watched(ini),
		Ready: &container.Ready{HTTP: "http://" + listen + "/", Status: []int{200}, Timeout: stack.Patience},
	}, schema)
	b.Container(container.Resource{
		Name: "masakari-engine", Image: name, User: name, Exec: []string{"masakari-engine"}, Volumes: conf.Volumes, RestartOn: conf.Paths,
	}, schema)
	watcher(b)
}

func config(d *stack.Deployment, h *spec.Host) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	stack.Messaging(d, &f)
	f.SetAll("DEFAULT",
		"host", h.Name,
		"auth_strategy", "keystone",
		"os_privileged_user_name", name,
		"os_privileged_user_password", d.Secrets.Password(stack.UserSecret(name)),
		"os_privileged_user_tenant", stack.Project,
		"os_privileged_user_auth_url", d.AuthURL(),
		"os_user_domain_name", "Default",
		"os_project_domain_name", "Default",
		"os_region_name", d.Spec.Region,
		"nova_ca_certificates_file", stack.CAFile,
		// It is told of a compute when Nova says already that it is down.
		"wait_period_after_service_update", 1,
		"wait_period_after_evacuation", evacuation,
		"process_unfinished_notifications_interval", retry,
		"retry_notification_new_status_interval", retry,
	)
	stack.DatabaseSection(d, &f, "database", name, name)
	stack.Authtoken(d, &f, name)
	f.SetAll("host_failure", "evacuate_all_instances", true, "service_disable_reason", watch.Reason)
	f.Set("instance_failure", "process_all_instances", true)
	f.Set("wsgi", "api_paste_config", "/etc/masakari/api-paste.ini")
	stack.API(&f)
	return &f
}

// compute adds the monitor of servers, which listens to libvirt, and the guard.
func compute(b *stack.Builder) {
	d := b.D
	var f stack.INI
	stack.Logging(&f)
	f.Set("DEFAULT", "hostname", b.Host.Name)
	stack.Client(d, &f, "api", name)
	f.SetAll("api", "region", d.Spec.Region, "api_interface", "internal")
	f.Set("libvirt", "connection_uri", "qemu:///system")
	conf := b.Oslo("masakarimonitors.conf", &f, name)
	b.Container(container.Resource{
		Name: "masakari-instance-monitor", Image: name,
		// Root, as libvirt's sockets are root's.
		Exec:    []string{"masakari-instancemonitor", "--config-file", "/etc/masakari/masakarimonitors.conf", "--config-dir", "/etc/masakari/masakari.conf.d"},
		Volumes: conf.Mounted(container.Volume{Source: "/run/libvirt", Target: "/run/libvirt"}), RestartOn: conf.Paths, After: []string{libvirt.Container},
	}, "container:"+libvirt.Container)
	program := b.Program(program, d.RecoveryProgram)
	var controllers []string
	for _, c := range d.Spec.Controllers {
		controllers = append(controllers, stack.HostPort(d.Address(c), stack.RabbitPort))
	}
	text := strings.NewReplacer("@program@", program, "@controllers@", strings.Join(controllers, " ")).Replace(guardText)
	yes := true
	b.Add(configset.Item{Phase: engine.Start, Needs: []string{"file:" + program}, Triggers: []string{"file:" + program}, Resource: &unit.Resource{
		Name: "updraft-recovery-guard.service", Content: stack.Header + text, Enabled: &yes, State: unit.Started, RestartOn: []string{program},
	}})
}

// program is updraft-recovery on a host.
const program = stack.ProgramDir + "/updraft-recovery"

var (
	//go:embed updraft-recovery-watch.service
	watchText string
	//go:embed updraft-recovery-guard.service
	guardText string
)

// watcher adds what looks for computes that have died. It is told of their libvirtds,
// which listen at the address among the APIs.
func watcher(b *stack.Builder) {
	d := b.D
	c := watch.Config{
		AuthURL: d.AuthURL(), User: name, Password: d.Secrets.Password(stack.UserSecret(name)), Project: stack.Project,
		Region: d.Spec.Region, Segment: segment, Computes: map[string]string{},
	}
	for _, h := range d.Spec.Computes {
		c.Computes[h.Name] = stack.HostPort(d.Address(h), libvirtPort)
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("masakari: %v", err)) // texts always encode
	}
	config := b.Secret("watch.json", string(data)+"\n", "root")
	program := b.Program(program, d.RecoveryProgram)
	text := strings.NewReplacer("@program@", program, "@ca@", stack.CAFile, "@config@", config).Replace(watchText)
	yes := true
	on := []string{program, config, stack.CAFile}
	b.Add(configset.Item{
		Phase: engine.Start, Needs: []string{"file:" + program, "file:" + config, "file:" + stack.CAFile, "container:masakari-api"},
		Triggers: []string{"file:" + program, "file:" + config, "file:" + stack.CAFile},
		Resource: &unit.Resource{
			Name: "updraft-recovery-watch.service", Content: stack.Header + text, Enabled: &yes, State: unit.Started, RestartOn: on,
		},
	})
}

// libvirtPort is where libvirtd listens for others.
//
// Source: libvirt's documentation, "Remote support", section "TLS".
const libvirtPort = 16514
