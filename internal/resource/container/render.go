package container

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// render renders the Quadlet file.
//
// The pid file is what guards enter the container by. The host's network and
// systemd's own restarts make podman a mere starter of processes: nothing of it
// stays besides conmon.
func (r *Resource) render() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(conffile.Header)
	line("[Unit]")
	line("Description=Container %s", r.Name)
	for _, a := range r.After {
		line("Wants=%s.service", a)
		line("After=%s.service", a)
	}
	for _, a := range r.PartOf {
		line("PartOf=%s.service", a)
		if !slices.Contains(r.After, a) {
			line("After=%s.service", a)
		}
	}
	line("StartLimitIntervalSec=0")
	line("")
	line("[Container]")
	line("ContainerName=%s", r.Name)
	line("Image=%s", r.Image)
	line("Pull=%s", r.pull())
	line("Network=host")
	line("CgroupsMode=%s", r.cgroups())
	line("LogDriver=journald")
	if len(r.Exec) > 0 {
		line("Exec=%s", words(r.Exec))
	}
	if r.User != "" {
		line("User=%s", r.User)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		line("Environment=%s", word(k+"="+r.Env[k]))
	}
	for _, v := range r.Volumes {
		line("Volume=%s", strings.Join(slices.DeleteFunc([]string{v.Source, v.Target, v.Options}, func(s string) bool { return s == "" }), ":"))
	}
	if r.Init {
		line("RunInit=true")
	}
	line("StopTimeout=%d", seconds(r.StopTimeout, stopTimeout))
	for _, a := range r.podmanArgs() {
		line("PodmanArgs=%s", a)
	}
	r.renderService(line)
	line("")
	line("[Install]")
	line("WantedBy=multi-user.target")
	return b.String()
}

// renderService renders what is systemd's business. A stop gets some seconds on
// top of podman's own, which it needs to remove the container. A mount point is
// asked for by a command and not by a condition (systemd.unit(5)): a unit whose
// condition fails is not tried again.
func (r *Resource) renderService(line func(string, ...any)) {
	line("")
	line("[Service]")
	line("RuntimeDirectory=updraft")
	line("RuntimeDirectoryPreserve=yes")
	line("Restart=always")
	line("RestartSec=1")
	for _, m := range r.Mounts {
		line("ExecStartPre=/usr/bin/mountpoint --quiet %s", m)
	}
	if len(r.BeforeStart) > 0 {
		line("ExecStartPre=-%s", words(r.BeforeStart))
	}
	if len(r.BeforeStop) > 0 {
		line("ExecStop=-%s", words(r.BeforeStop)) // Quadlet's own comes after it
	}
	line("TimeoutStartSec=%d", seconds(r.StartTimeout, startTimeout))
	line("TimeoutStopSec=%d", seconds(r.StopTimeout, stopTimeout)+10)
	if len(r.Reload) > 0 {
		line("ExecReload=%s", r.reload())
	}
	if r.Memory > 0 {
		line("MemoryMax=%d", r.Memory)
	}
	if r.CPUs > 0 {
		line("CPUQuota=%s%%", strconv.FormatFloat(r.CPUs*100, 'f', -1, 64))
	}
	if r.NoFile > 0 {
		line("LimitNOFILE=%d", r.NoFile)
	}
}

// seconds returns a duration that Validate has read, rounded up.
func seconds(text string, otherwise time.Duration) int {
	d, err := duration(text, otherwise)
	if err != nil {
		d = otherwise
	}
	return int((d + time.Second - 1) / time.Second)
}

// reload is the command by which systemd has the container reload. A signal is
// sent by the number of the process, which takes a fiftieth of podman kill.
func (r *Resource) reload() string {
	if signal, ok := r.reloadSignal(); ok {
		return words([]string{"/bin/sh", "-c", "kill " + signal + " $(cat " + r.pidFile() + ")"})
	}
	return words(append([]string{"/usr/bin/podman", "exec", r.Name}, r.Reload...))
}

// reloadSignal returns the option of kill(1) if a signal is asked for.
func (r *Resource) reloadSignal() (option string, ok bool) {
	if len(r.Reload) != 2 || r.Reload[0] != "kill" || !signalRE.MatchString(r.Reload[1]) {
		return "", false
	}
	return r.Reload[1], true
}

func (r *Resource) podmanArgs() []string {
	args := []string{"--pidfile=" + r.pidFile()}
	if r.Privileged {
		args = append(args, "--privileged")
	}
	if r.PIDHost {
		args = append(args, "--pid=host")
	}
	if r.NoFile > 0 {
		args = append(args, fmt.Sprintf("--ulimit=nofile=%d:%d", r.NoFile, r.NoFile))
	}
	return args
}

// pull is podman's policy: nothing is asked for what no registry has.
func (r *Resource) pull() string {
	if strings.HasPrefix(r.Image, "localhost/") {
		return "never"
	}
	return "missing"
}

func (r *Resource) cgroups() string {
	if r.Cgroups == "" {
		return "disabled"
	}
	return r.Cgroups
}

// words renders a command line as systemd reads it.
func words(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = word(a)
	}
	return strings.Join(out, " ")
}

// plain are the characters that need no quotes.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:=,@+"

// word quotes a word. Percent and dollar signs are doubled: specifiers and
// variables are expanded within quotes, too.
//
// Source: systemd.service(5), "Command lines"; systemd.syntax(7), "Quoting".
func word(s string) string {
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	r := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "%", "%%", "$", "$$")
	return `"` + r.Replace(s) + `"`
}
