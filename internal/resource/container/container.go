// Package container is the kind "container": a container that podman runs under
// systemd, by a Quadlet file (podman-systemd.unit(5)).
//
// It guarantees that a faulty file never takes the place of a working one (the
// real generator, which leaves faulty files out without a word, judges it
// before), that the container runs the present file and configuration (one that
// was changed later is recognised from times in the world, so that a killed
// updraft forgets nothing), and that Apply returns when the container does its
// work, or says why it does not: one that ends again and again is noticed within
// seconds, with its last words. All containers of a host are observed by one
// question to systemd, and their probes run at the same time.
package container

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

// Volume is a directory or file of the host that the container sees.
type Volume struct {
	Source  string `json:"source" required:"true" format:"path" doc:"Path on the host."`
	Target  string `json:"target" required:"true" format:"path" doc:"Path in the container."`
	Options string `json:"options,omitempty" doc:"Options of podman's --volume, such as ro or rshared."`
}

// Ready says when the container does its work. One of tcp, http, unix and exec
// is given.
type Ready struct {
	TCP     string   `json:"tcp,omitempty" doc:"ADDRESS:PORT that accepts connections."`
	HTTP    string   `json:"http,omitempty" doc:"URL that answers, such as http://127.0.0.1:8080/. For https the host needs curl."`
	Status  []int    `json:"status,omitempty" doc:"Statuses that are an answer; any below 500 when left out."`
	CAFile  string   `json:"ca_file,omitempty" format:"path" doc:"Authorities of an https URL, as PEM on the host; those of the host when left out."`
	Unix    string   `json:"unix,omitempty" doc:"Path of a socket on the host that accepts connections."`
	Exec    []string `json:"exec,omitempty" doc:"Program that succeeds in the container's file system and the host's network. It must not change anything. Once updraft has seen it succeed, it is asked again only after a restart, unless always is set."`
	Always  bool     `json:"always,omitempty" doc:"Run exec whenever the container is looked at, also when nothing has changed."`
	Timeout string   `json:"timeout,omitempty" default:"3m" doc:"How long it may take after the start. One that ends again and again is given up at once."`
}

// Resource is a container.
type Resource struct {
	Name         string            `json:"name" required:"true" doc:"Name of the container, and of its unit NAME.service."`
	Image        string            `json:"image" required:"true" doc:"Reference of the image. One below localhost/ must be there; others are pulled."`
	Exec         []string          `json:"exec,omitempty" doc:"Program with its arguments; the image's own when left out. It shows in the process list: no secrets."`
	User         string            `json:"user,omitempty" doc:"User in the container, by name or number; that of the image when left out."`
	Env          map[string]string `json:"env,omitempty" doc:"Environment variables. No secrets: they show in the unit."`
	Volumes      []Volume          `json:"volumes,omitempty" doc:"What of the host the container sees."`
	Privileged   bool              `json:"privileged,omitempty" doc:"Give the container all rights on the host."`
	PIDHost      bool              `json:"pid_host,omitempty" doc:"Let the container see the host's processes."`
	Cgroups      string            `json:"cgroups,omitempty" enum:"disabled,split" default:"disabled" doc:"disabled: its processes are in the unit's own group; split: in one below it, that they may manage."`
	Memory       int64             `json:"memory,omitempty" min:"0" doc:"Limit of main memory in bytes."`
	CPUs         float64           `json:"cpus,omitempty" min:"0" doc:"Limit of processor time, in cores."`
	NoFile       int               `json:"nofile,omitempty" min:"0" doc:"Limit of open files."`
	After        []string          `json:"after,omitempty" doc:"Other containers of the host that are started before it at boot."`
	PartOf       []string          `json:"part_of,omitempty" doc:"Containers of the host with which it is ended and restarted: before they end, and after they have started."`
	BeforeStart  []string          `json:"before_start,omitempty" doc:"Command on the host that is run before each start. It is started also when that fails."`
	BeforeStop   []string          `json:"before_stop,omitempty" doc:"Command on the host that is run before it is ended in order, such as one that takes it out of a load balancer and waits for what is under way. It is ended also when that fails, or takes longer than stop_timeout and 10 seconds."`
	Mounts       []string          `json:"mounts,omitempty" format:"path" doc:"Mount points of the host without which it is not started, lest it writes below them. It is tried again each second until they are there."`
	RestartOn    []string          `json:"restart_on,omitempty" doc:"Files, or directories with the files directly in them, that it reads only when it starts: it is restarted when one of them is newer than its process."`
	ReloadOn     []string          `json:"reload_on,omitempty" doc:"Files and directories as in restart_on, for which a reload is enough. A file that is mounted by itself stays the old one for a running container: mount its directory."`
	Reload       []string          `json:"reload,omitempty" doc:"Command in the container that makes it read reload_on again; [kill, -SIGNAL] sends a signal to its first process."`
	Ready        *Ready            `json:"ready,omitempty" doc:"How to see that it does its work."`
	StartTimeout string            `json:"start_timeout,omitempty" default:"5m" doc:"How long podman may take to start it. An image may have to be pulled."`
	StopTimeout  string            `json:"stop_timeout,omitempty" default:"10s" doc:"How long it may take to end before it is killed."`
	Init         bool              `json:"init,omitempty" doc:"Run a small init in it, which reaps orphans and hands signals on."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "container",
		Doc: "A container that podman runs under systemd with the host's network: its Quadlet file, run state, restart when its file or configuration is newer than its process, and readiness. " +
			"systemd restarts it whenever it ends, and starts it at boot; what it writes is in the journal of NAME.service. " +
			"A trigger restarts it, unless it is a file in reload_on. " +
			"The host needs podman 5 (configset containerhost). Removing it stops it and deletes its file; data in volumes stays.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: cache\nimage: docker.io/library/memcached:1\nexec: [memcached, -m, \"64\"]\nready: {tcp: \"127.0.0.1:11211\"}\n",
	}
}

// Kind returns "container".
func (*Resource) Kind() string { return "container" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Where things of containers are on a host.
const (
	quadletDir = "/etc/containers/systemd"
	runDir     = "/run/updraft"
)

func (r *Resource) quadletPath() string { return path.Join(quadletDir, r.Name+".container") }
func (r *Resource) pidFile() string     { return path.Join(runDir, r.Name+".pid") }
func (r *Resource) unitName() string    { return r.Name + ".service" }

// mark stands for a start of which updraft has not seen the end.
func (r *Resource) mark() conffile.File {
	return conffile.File{Path: path.Join(runDir, r.Name+".starting")}
}

// unit is the container's unit as far as systemd is concerned.
func (r *Resource) unit() *unit.Resource {
	return &unit.Resource{
		Name: r.unitName(), State: unit.Started,
		RestartOn: append(slices.Clone(r.RestartOn), r.quadletPath()), ReloadOn: r.ReloadOn,
	}
}

// reloadsFor reports whether a reload is enough for a change of that path.
func (r *Resource) reloadsFor(p string) bool {
	return slices.ContainsFunc(r.ReloadOn, func(q string) bool { return p == q || path.Dir(p) == q }) && !slices.Contains(r.RestartOn, p)
}

func (r *Resource) quadlet() conffile.File {
	return conffile.File{Path: r.quadletPath(), Text: r.render()}
}

// Needs names what makes the files that it reads.
func (r *Resource) Needs() []string {
	var out []string
	for _, p := range slices.Concat(r.RestartOn, r.ReloadOn) {
		out = append(out, "file:"+p, "directory:"+p, "symlink:"+p)
	}
	for _, v := range r.Volumes {
		out = append(out, "file:"+v.Source, "directory:"+v.Source)
	}
	for _, a := range slices.Concat(r.After, r.PartOf) {
		out = append(out, "container:"+a)
	}
	return out
}

// Removal keeps the name.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name, Image: r.Image} }

var (
	signalRE = regexp.MustCompile(`^-(SIG)?[A-Z][A-Z0-9]+$`)
	nameRE   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	envRE    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	optRE    = regexp.MustCompile(`^[A-Za-z]+(,[A-Za-z]+)*$`)
	userRE   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$`)
	imgRE    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)
)

// Validate checks names, paths and times.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	if !nameRE.MatchString(r.Name) {
		fault("name", "use lower-case letters, digits and ._-", "%q is not a name for a container", r.Name)
	}
	if !imgRE.MatchString(r.Image) {
		fault("image", "write REGISTRY/NAME:TAG", "%q is not a reference of an image", r.Image)
	}
	r.validateCommands(fault)
	if r.User != "" && !userRE.MatchString(r.User) {
		fault("user", "", "%q is not a user", r.User)
	}
	if !slices.Contains([]string{"", "disabled", "split"}, r.Cgroups) {
		fault("cgroups", "write disabled or split", "%q is not a way of using control groups", r.Cgroups)
	}
	if r.PIDHost && r.Cgroups != "split" {
		fault("pid_host", "set cgroups: split, too", "podman cannot tell processes of the host from those of a container without a control group")
	}
	if r.PIDHost && r.Init {
		fault("init", "leave it out: the host's init reaps orphans", "a container that sees the host's processes has no init of its own")
	}
	for k, v := range r.Env {
		if !envRE.MatchString(k) || strings.ContainsRune(v, 0) {
			fault("env", "use letters, digits and _", "%q is not the name of a variable", k)
		}
	}
	for field, names := range map[string][]string{"after": r.After, "part_of": r.PartOf} {
		for _, a := range names {
			if !nameRE.MatchString(a) {
				fault(field, "", "%q is not the name of a container", a)
			}
		}
	}
	r.validatePaths(fault)
	if _, err := duration(r.StartTimeout, startTimeout); err != nil {
		fault("start_timeout", "write it like 5m", "%q is not a duration", r.StartTimeout)
	}
	if _, err := duration(r.StopTimeout, stopTimeout); err != nil {
		fault("stop_timeout", "write it like 10s or 2m", "%q is not a duration", r.StopTimeout)
	}
	r.validateReady(fault)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

type faultFunc = func(field, mend, format string, args ...any)

// validateCommands refuses what cannot pass through Quadlet to systemd: zero
// bytes, an empty word, at which Quadlet drops all that follows (podman 5.4), and
// a semicolon, which separates commands and which Quadlet does not quote.
func (r *Resource) validateCommands(fault faultFunc) {
	for field, args := range map[string][]string{"exec": r.Exec, "reload": r.Reload, "before_start": r.BeforeStart, "before_stop": r.BeforeStop} {
		for _, a := range args {
			if a == "" || a == ";" || strings.ContainsRune(a, 0) {
				fault(field, "put it into a script for sh -c", "%q cannot be a word of a command", a)
			}
		}
	}
	if len(r.ReloadOn) > 0 && len(r.Reload) == 0 {
		fault("reload_on", "give reload, too", "nothing says how to reload")
	}
	if _, ok := r.reloadSignal(); len(r.Reload) > 0 && r.Reload[0] == "kill" && !ok {
		fault("reload", "write [kill, -HUP]", "%q does not say which signal", r.Reload)
	}
}

func (r *Resource) validatePaths(fault faultFunc) {
	check := func(field, p string) {
		if !path.IsAbs(p) || path.Clean(p) != p || !conffile.OneLine(p) || strings.ContainsAny(p, ": %$\"'\\") {
			fault(field, "write an absolute path without . and .., blanks and any of :%$\"'\\", "%q is not a path", p)
		}
	}
	for _, v := range r.Volumes {
		check("volumes", v.Source)
		check("volumes", v.Target)
		if v.Options != "" && !optRE.MatchString(v.Options) {
			fault("volumes", "write words joined by commas", "%q are not options of a volume", v.Options)
		}
	}
	for _, p := range r.Mounts {
		check("mounts", p)
	}
	for _, p := range r.RestartOn {
		check("restart_on", p)
	}
	for _, p := range r.ReloadOn {
		check("reload_on", p)
	}
}

// Defaults of times.
const (
	startTimeout = 5 * time.Minute
	stopTimeout  = 10 * time.Second
	readyTimeout = 3 * time.Minute
)

func duration(text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%s does not pass", text)
	}
	return d, err
}
