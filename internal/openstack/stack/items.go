package stack

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Directories on hosts.
const (
	ConfigRoot = "/etc/updraft"
	DataRoot   = "/var/lib/updraft"
	RunRoot    = "/run/updraft"
	// AuthorityDir has the certificates of authorities to believe, as CAFile.
	// Containers mount the directory: a file that is mounted by itself stays the
	// old one.
	AuthorityDir = ConfigRoot + "/authority"
	CAFile       = AuthorityDir + "/ca.pem"
)

// ConfigDir is where a service's configuration lies on a host.
func ConfigDir(service string) string { return path.Join(ConfigRoot, service) }

// DataDir is where a service keeps its data on a host.
func DataDir(service string) string { return path.Join(DataRoot, service) }

// Builder collects the items of one service on one host.
type Builder struct {
	D       *Deployment
	Host    *spec.Host
	Service string
	items   []Item
}

// On returns a builder.
func (d *Deployment) On(h *spec.Host, service string) *Builder {
	return &Builder{D: d, Host: h, Service: service}
}

// Items returns what was collected.
func (b *Builder) Items() []Item { return b.items }

// Add adds an item as it is.
func (b *Builder) Add(it configset.Item) {
	b.items = append(b.items, Item{Host: b.Host.Name, Item: it})
}

// Dir adds a directory that a user of the images owns ("" for root), and returns
// its path.
func (b *Builder) Dir(p, user, mode string) string {
	owner := b.owner(user)
	b.Add(configset.Item{
		Resource: &directory.Resource{Path: p, Mode: mode, Owner: owner, Group: owner},
		Phase:    engine.Configure,
	})
	return p
}

func (b *Builder) owner(user string) string {
	if user == "" || user == "root" {
		return "root"
	}
	return strconv.Itoa(b.D.Release.UID(user))
}

// Data adds the service's data directory, which the user owns, and returns its
// path.
func (b *Builder) Data(user string) string { return b.Dir(DataDir(b.Service), user, "0750") }

// Config adds a file in the service's configuration directory that anybody on
// the host may read, and returns its path.
func (b *Builder) Config(name, content string, check ...string) string {
	return b.file(file.Resource{
		Path: path.Join(ConfigDir(b.Service), name), Content: content, Mode: "0644", Owner: "root", Group: "root", Check: check,
	})
}

// Secret adds a file with secrets in the service's configuration directory. Only
// root and the user of the images (with the group of the same name) can read it.
func (b *Builder) Secret(name, content, user string) string {
	return b.file(file.Resource{
		Path: path.Join(ConfigDir(b.Service), name), Content: content, Mode: "0640", Owner: "root", Group: b.owner(user), Sensitive: true,
	})
}

// ProgramDir is where programs of updraft's own lie on a host.
const ProgramDir = "/usr/local/lib/updraft"

// Program adds a program of updraft's own below [ProgramDir], and returns its path.
func (b *Builder) Program(at string, program []byte) string {
	b.Add(configset.Item{Phase: engine.Install, Resource: &directory.Resource{
		Path: ProgramDir, Mode: "0755", Owner: "root", Group: "root",
	}})
	b.Add(configset.Item{Phase: engine.Install, Resource: &file.Resource{
		Path: at, Data: program, Mode: "0755", Owner: "root", Group: "root",
	}})
	return at
}

func (b *Builder) file(f file.Resource) string {
	b.Add(configset.Item{Resource: &f, Phase: engine.Configure})
	return f.Path
}

// Container adds a container whose image is given by its short name. Host
// networking and the cloud's authority come by themselves: it has to look at that
// file again by itself, or have it among what it is reloaded or restarted on. It
// starts after all that the mounted and watched paths and needs name.
func (b *Builder) Container(c container.Resource, needs ...string) {
	image := ImageReady(c.Image)
	c.Image = b.D.Release.Image(c.Image)
	c.Volumes = append(slices.Clone(c.Volumes), authority())
	b.Add(configset.Item{Resource: &c, Phase: engine.Start, Needs: slices.Concat([]string{image, "file:" + CAFile}, needs), Triggers: triggers(slices.Concat(c.RestartOn, c.ReloadOn))})
}

// authority is the volume of what is to be believed.
func authority() container.Volume { return Mount(AuthorityDir, AuthorityDir) }

// DrainScript takes a controller's program out of HAProxy and gives it back (package
// haproxy), where there are several controllers.
const DrainScript = ConfigRoot + "/haproxy/drain.sh"

// Serving is [Builder.Container] for a program that HAProxy sends requests to, at that
// port: it ends when it has answered those that it has, and others get the next.
func (b *Builder) Serving(port int, c container.Resource, needs ...string) {
	if len(b.D.Spec.Controllers) > 1 {
		script := func(verb string) []string {
			return []string{"/usr/bin/bash", DrainScript, verb, strconv.Itoa(port), b.Host.Name}
		}
		c.BeforeStart, c.BeforeStop = script("enter"), script("leave")
	}
	b.Container(c, needs...)
}

// ImageReady is the reference of what must be in place on a host before a
// container of the image starts there: podman, its configuration, the image.
func ImageReady(image string) string { return "command:image " + image }

// triggers are the references of watched files.
func triggers(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, "file:"+p)
	}
	return out
}

// Job is a program in a container that is run once, when the world says that its
// work is not done.
type Job struct {
	Name, Image, User string
	Run               []string
	Volumes           []container.Volume
	// Done is shell text on the host that succeeds once the work is done. It
	// changes nothing, and takes milliseconds: every plan asks it.
	Done    string
	Timeout string
	Needs   []string
	// Triggers are references of things on whose change the job is run again,
	// whatever Done says.
	Triggers []string
	Phase    engine.Phase // Configure when empty
}

// Job adds a job. Its container has a name of its own, and one that a killed
// updraft left running is ended first.
func (b *Builder) Job(j Job) {
	b.Triggered(command.Resource{Name: j.Name, Run: b.podman(j), Unless: j.Done, Timeout: j.Timeout}, j.Phase, b.JobNeeds(j), j.Triggers...)
}

// podman is the command line of a job.
func (b *Builder) podman(j Job) []string {
	run := []string{"podman", "run", "--rm", "--replace", "--name=" + jobName(j), "--network=host", "--log-driver=none"}
	if j.User != "" {
		run = append(run, "--user="+j.User)
	}
	for _, v := range append(slices.Clone(j.Volumes), authority()) {
		run = append(run, "--volume="+volume(v))
	}
	return append(append(run, b.D.Release.Image(j.Image)), j.Run...)
}

// jobName is the name of a job's container.
func jobName(j Job) string { return "updraft-job-" + strings.ReplaceAll(j.Name, " ", "-") }

// JobNeeds are references to what the job's container needs.
func (b *Builder) JobNeeds(j Job) []string {
	return append([]string{ImageReady(j.Image), "file:" + CAFile}, j.Needs...)
}

func volume(v container.Volume) string {
	if v.Options == "" {
		return v.Source + ":" + v.Target
	}
	return v.Source + ":" + v.Target + ":" + v.Options
}

// Command adds a guarded command on the host.
func (b *Builder) Command(c command.Resource, phase engine.Phase, needs ...string) {
	b.Triggered(c, phase, needs)
}

// Triggered adds a guarded command on the host that is also run when one of the
// triggers has changed.
func (b *Builder) Triggered(c command.Resource, phase engine.Phase, needs []string, triggers ...string) {
	b.Add(configset.Item{Resource: &c, Phase: phase, Needs: needs, Triggers: triggers})
}

// Mount returns a read-only volume of a configuration file.
func Mount(source, target string) container.Volume {
	return container.Volume{Source: source, Target: target, Options: "ro"}
}

// Inside returns shell text that runs a program in the file system of a running
// container, in a hundredth of what podman exec takes. It fails when the
// container does not run.
func Inside(name, commandLine string) string {
	pid := RunRoot + "/" + name + ".pid"
	return fmt.Sprintf("test -s %[1]s && nsenter --target $(cat %[1]s) --mount -- %[2]s", pid, commandLine)
}

// OnHost returns a reference to something on another host.
func OnHost(h *spec.Host, ref string) string { return h.Name + "/" + ref }

// Machine returns the reference of the host's machine. As a trigger it says that
// the machine was made or started in this run.
func Machine(h *spec.Host) string { return "deployer/machine:" + h.Name }
