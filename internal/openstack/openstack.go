// Package openstack is the catalogue of OpenStack's services, and what they all
// stand on: hosts that run containers, images, and the cloud's authority.
package openstack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/cinder"
	"github.com/updraft-cloud/updraft/internal/openstack/etcd"
	"github.com/updraft-cloud/updraft/internal/openstack/glance"
	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/haproxy"
	"github.com/updraft-cloud/updraft/internal/openstack/heat"
	"github.com/updraft-cloud/updraft/internal/openstack/horizon"
	"github.com/updraft-cloud/updraft/internal/openstack/keepalived"
	"github.com/updraft-cloud/updraft/internal/openstack/keystone"
	"github.com/updraft-cloud/updraft/internal/openstack/libvirt"
	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
	"github.com/updraft-cloud/updraft/internal/openstack/masakari"
	"github.com/updraft-cloud/updraft/internal/openstack/memcached"
	"github.com/updraft-cloud/updraft/internal/openstack/neutron"
	"github.com/updraft-cloud/updraft/internal/openstack/nova"
	"github.com/updraft-cloud/updraft/internal/openstack/openvswitch"
	"github.com/updraft-cloud/updraft/internal/openstack/ovn"
	"github.com/updraft-cloud/updraft/internal/openstack/placement"
	"github.com/updraft-cloud/updraft/internal/openstack/rabbitmq"
	"github.com/updraft-cloud/updraft/internal/openstack/registry"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// Services returns the services of a cloud, in the order of their reference: those
// that every cloud has, and the optional ones that its file asks for.
func Services(o *spec.OpenStack) []stack.Service {
	return slices.DeleteFunc(all(), func(s stack.Service) bool { return s.Optional && !slices.Contains(o.Services, s.Name) })
}

func all() []stack.Service {
	return []stack.Service{
		registry.Service(), etcd.Service(), mariadb.Service(), rabbitmq.Service(), memcached.Service(), haproxy.Service(), keepalived.Service(),
		ovn.Service(), openvswitch.Service(), gluster.Service(),
		keystone.Service(), glance.Service(), placement.Service(), nova.Service(), libvirt.Service(), neutron.Service(), horizon.Service(),
		heat.Service(), masakari.Service(), cinder.Service(),
	}
}

// Images are the container images that hosts need, by role.
func Images(services []stack.Service) (controllers, computes []string) {
	controllers, computes = []string{"infra", "openstack"}, []string{"openstack"}
	for _, s := range services {
		if s.Image != "" {
			controllers = append(controllers, s.Image)
		}
		if s.Image != "" && s.OnComputes {
			computes = append(computes, s.Image)
		}
	}
	return controllers, computes
}

// ClientFrom is the container from whose image the stock client is run with these
// arguments: that of Keystone, but for commands that only an optional service's
// image has.
func ClientFrom(services []stack.Service, args []string) string {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	for _, s := range services {
		if i >= 0 && slices.Contains(s.Commands, args[i]) {
			return s.Image + "-api"
		}
	}
	return "keystone"
}

// SharedImages is where hosts see the deploy host's store of images.
const SharedImages = "/var/lib/images"

// ownImages is where podman keeps what it has pulled.
const ownImages = "/var/lib/containers/storage"

// Build returns everything that the deployment asks for on its hosts.
func Build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	controllers, computes := Images(d.Services)
	for _, h := range d.Spec.Controllers {
		out = append(out, host(d, h, controllers)...)
	}
	for _, h := range d.Spec.Computes {
		out = append(out, host(d, h, computes)...)
	}
	for _, s := range d.Services {
		out = append(out, s.Build(d)...)
	}
	return out
}

// host returns what a host of either role needs before any service.
func host(d *stack.Deployment, h *spec.Host, images []string) []stack.Item {
	b := d.On(h, "host")
	for _, dir := range []string{stack.ConfigRoot, stack.AuthorityDir, stack.DataRoot} {
		b.Add(configset.Item{Resource: &directory.Resource{Path: dir, Mode: "0755", Owner: "root", Group: "root"}, Phase: engine.Configure})
	}
	b.Add(configset.Item{
		Resource: &file.Resource{Path: stack.CAFile, Content: d.Secrets.Authority(), Mode: "0644", Owner: "root", Group: "root"},
		Phase:    engine.Configure,
	})
	keepalive(b)
	needs := podman(b)
	for _, name := range images {
		b.Add(imageReady(d, name, needs))
	}
	return b.Items()
}

// imageReady makes sure that podman has the image. Its lists of images are read
// in place of asking podman, which takes a tenth of a second for each.
func imageReady(d *stack.Deployment, name string, needs []string) configset.Item {
	ref := d.Release.Image(name)
	c := &command.Resource{Name: "image " + name, Timeout: "15m"}
	it := configset.Item{Resource: c, Phase: engine.Install, Needs: needs}
	if d.FromRegistry() {
		pulled(c, ref)
		it.Triggers = []string{registry.Image(d, name)}
	} else {
		shared(c, ref)
		it.Needs = append([]string{"deployer/container-image:" + name}, needs...)
	}
	return it
}

// listed is shell text that succeeds when the store's list has the text.
func listed(text, store string) string {
	return fmt.Sprintf("grep -qsF '%s' %s/overlay-images/images.json", text, store)
}

// pulled has podman pull the image, and again when another was pushed. podman
// believes only the cloud's authority, holds every part against its digest, and goes
// on where a broken connection ended for as long as the registry takes to start again.
func pulled(c *command.Resource, ref string) {
	c.Run = []string{"podman", "pull", "--quiet", "--retry=10", "--retry-delay=1s", ref}
	c.Unless = listed(`"`+ref+`"`, ownImages)
}

// shared takes the image from the shared store. podman does not see there what it has
// pulled itself when the cloud had a registry: that gets the name then.
func shared(c *command.Resource, ref string) {
	pulled := ref[strings.LastIndex(ref, "/"):] + `"`
	c.Script = fmt.Sprintf(`own=$(podman image ls --filter readonly=false --format '{{.Repository}}:{{.Tag}}' | grep -F '%s' | head -n 1)
test -z "$own" || podman tag "$own" %s
podman image exists %s
`, strings.TrimSuffix(pulled, `"`), ref, ref)
	c.Unless = fmt.Sprintf("if %s; then %s; else %s; fi", listed(pulled, ownImages), listed(`"`+ref+`"`, ownImages), listed(`"`+ref+`"`, SharedImages))
}

// Clusters says how to see how the parts of the services are that decide together.
func Clusters(d *stack.Deployment) []status.Ensemble {
	var out []status.Ensemble
	for _, s := range Services(d.Spec) {
		if s.Clusters != nil {
			out = append(out, s.Clusters(d)...)
		}
	}
	return out
}

// Stores are what of the services a backup has.
func Stores(d *stack.Deployment) []backup.Store {
	var out []backup.Store
	for _, s := range d.Services {
		if s.Stores != nil {
			out = append(out, s.Stores(d)...)
		}
	}
	return out
}

// Paused tells by its name whether a controller's container is stopped while
// databases are restored: those of services that have one, of Horizon, and
// memcached, which is started anew as it remembers what was there before.
func Paused(d *stack.Deployment, container string) bool {
	for _, s := range d.Services {
		works := len(s.Databases) > 0 || s.Name == "memcached" || s.Name == "horizon"
		if works && (container == s.Name || strings.HasPrefix(container, s.Name+"-")) {
			return true
		}
	}
	return false
}

// Looks are what of the services is worth a look on a host when something is wrong.
func Looks(d *stack.Deployment, h *spec.Host) []logbundle.Look {
	var out []logbundle.Look
	for _, s := range Services(d.Spec) {
		if s.Looks != nil {
			out = append(out, s.Looks(d, h)...)
		}
	}
	return out
}

// Answers are the references of what must be in place before the API can be
// asked anything.
func Answers(d *stack.Deployment) []string {
	var out []string
	for _, h := range d.Spec.Controllers {
		for _, ref := range []string{"container:keystone", "container:haproxy", "container:keepalived"} {
			out = append(out, stack.OnHost(h, ref))
		}
	}
	return append(out, stack.OnHost(d.First(), "command:keystone bootstrap"))
}

// Registered is what the services need to be in the API: their users, their
// entries in the catalogue. Keystone's own come with its bootstrap.
func Registered(d *stack.Deployment) []api.Resource {
	var users []api.ServiceUser
	var more []api.Resource
	for _, s := range d.Services {
		users = append(users, registered(d, s)...)
		if s.Accounts != nil {
			more = append(more, s.Accounts()...)
		}
	}
	return append(api.Bootstrap(d.Spec.Region, users...), more...)
}

// registered are a service's entries in the catalogue, its user with the first.
func registered(d *stack.Deployment, s stack.Service) []api.ServiceUser {
	var out []api.ServiceUser
	u := api.ServiceUser{User: s.User}
	if s.User != "" {
		u.Secret = stack.UserSecret(s.User)
	}
	for _, e := range s.Endpoints {
		if e.Type != "" && e.Type != "identity" {
			u.Name, u.Type, u.URL, u.Internal, u.Admin = e.Service, e.Type, d.URL(e), d.InternalURL(e), d.InternalURL(e)
			out, u = append(out, u), api.ServiceUser{}
		}
	}
	if u.User != "" {
		out = append(out, u)
	}
	return out
}

// Hosts are the hosts of servers, and the controllers, as the API knows them. machine is the kind of the
// nodes of machines.
func Hosts(d *stack.Deployment, machine string) []api.Resource {
	var out []api.Resource
	for _, h := range d.Spec.Computes {
		outlives := []string{machine + ":" + h.Name}
		for _, agent := range []string{"nova-compute", "ovn-controller", "ovn-metadata"} {
			outlives = append(outlives, stack.OnHost(h, "container:"+agent))
		}
		out = append(out, &api.Host{Name: h.Name, Provider: nova.Identity(d, h), Outlives: outlives})
	}
	for _, h := range d.Spec.Controllers {
		outlives := []string{machine + ":" + h.Name}
		for _, part := range []string{"nova-conductor", "nova-scheduler", "neutron-server"} {
			outlives = append(outlives, stack.OnHost(h, "container:"+part))
		}
		out = append(out, &api.Controller{Name: h.Name, Outlives: outlives})
	}
	return out
}

// Zones are the availability zones that hosts of servers are put into.
func Zones(d *stack.Deployment) []api.Resource {
	zones := map[string]string{}
	for _, h := range d.Spec.Computes {
		zones[h.Name] = h.Zone
	}
	return api.Zones(zones)
}

// Known are the references of what must be in place before Nova knows the host of
// that name, if it is one of the cloud's.
func Known(d *stack.Deployment, host string) []string {
	if !slices.ContainsFunc(d.Spec.Computes, func(h *spec.Host) bool { return h.Name == host }) {
		return nil
	}
	return []string{stack.OnHost(d.First(), "command:"+nova.ComputeJob(host))}
}

// Seen are the IDs of the jobs that wait until Nova has heard of a host. With a
// controller's conductor they are due for all hosts.
func Seen(o *spec.OpenStack, host *spec.Host) []string {
	if o == nil {
		return nil
	}
	first := (&stack.Deployment{Spec: o}).First()
	switch {
	case slices.Contains(o.Computes, host):
		return []string{stack.OnHost(first, "command:"+nova.ComputeJob(host.Name))}
	case slices.Contains(o.Controllers, host):
		var out []string
		for _, c := range o.Controllers {
			out = append(out, stack.OnHost(first, "command:"+nova.SchedulerJob(c.Name)))
		}
		for _, c := range o.Computes {
			out = append(out, stack.OnHost(first, "command:"+nova.ComputeJob(c.Name)))
		}
		return out
	}
	return nil
}

// serving are the containers that answer for a type of service. The first start
// of each takes its time, and what is asked of it meanwhile fails.
var serving = map[string][]string{
	"block-storage": {"cinder-api"},
	"compute":       {"nova-api", "nova-conductor"}, "image": {"glance"}, "network": {"neutron-server"}, "placement": {"placement"},
}

// Serving are the references of what must be in place before services of the
// given types can be asked anything. Without its own user and roles a service cannot
// have a token judged, and answers whoever asks that theirs is none.
func Serving(d *stack.Deployment, types []string) []string {
	var out []string
	for _, t := range types {
		for _, name := range serving[t] {
			for _, h := range d.Spec.Controllers {
				out = append(out, stack.OnHost(h, "container:"+name))
			}
		}
		out = append(out, judging(d, t)...)
	}
	return out
}

// judging are the roles by which the service of a type has tokens judged.
func judging(d *stack.Deployment, kind string) []string {
	var out []string
	for _, s := range d.Services {
		if s.User == "" || !slices.ContainsFunc(s.Endpoints, func(e stack.Endpoint) bool { return e.Type == kind }) {
			continue
		}
		for _, role := range []string{"admin", "service"} {
			out = append(out, api.ID(&api.RoleAssignment{User: s.User, Role: role, Project: api.ServiceProject}))
		}
	}
	return out
}

// What a host takes in bytes, as measured with one process per API and no
// servers: 1.5 to 1.9 GiB of memory on a controller and 0.8 on a compute, to
// which a small server adds 0.2; the databases begin with 250 MiB on disk.
const (
	controllerMemory = 2 << 30
	computeMemory    = 1 << 30
	controllerDisk   = 1 << 30
	computeDisk      = 512 << 20
	// An optional service on a controller, and its image unpacked, as measured with Heat: 400 and 420 MiB.
	// Cinder takes 450 and what serves its volumes 100.
	optionalMemory = 400 << 20
	cinderMemory   = 550 << 20
	optionalImage  = 420 << 20
	// The images unpacked, and in the registry: 2.0, 1.5 and 0.6 GiB.
	controllerImages = 2 << 30
	computeImages    = 3 << 29
	registryImages   = 5 << 27
	// Building them, both at once: 2.0 GiB, and as much of packages and layers.
	buildingImages = 4 << 30
)

// Room returns how much memory and disk the host's services take, in bytes.
func Room(o *spec.OpenStack, h *spec.Host) (memory, disk int64) {
	memory, disk = computeMemory, computeDisk
	images := int64(computeImages)
	if slices.Contains(o.Controllers, h) {
		memory, disk, images = controllerMemory, controllerDisk, controllerImages
		for _, s := range o.Services {
			memory += map[string]int64{spec.ServiceCinder: cinderMemory - optionalMemory}[s] + optionalMemory
		}
	}
	images += int64(len(o.Services)) * optionalImage
	if o.Images == spec.ImagesRegistry {
		disk += images
		if h == o.Controllers[0] {
			disk += registryImages
		}
		if h == o.Controllers[0] && o.Build == spec.BuildController {
			disk += buildingImages
		}
	}
	return memory, disk
}
