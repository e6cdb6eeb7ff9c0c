package fakehost

import (
	"context"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Systemd is systemctl with the manager behind it, and journalctl. Unit files
// and enablement are in files. As the real one it reads a unit's files once and
// again only at daemon-reload, and it forgets nothing in between, so that a
// missing daemon-reload shows.
//
// A service whose ExecStart has a word "false" fails when it is started; one
// with "dies" ends right after.
type Systemd struct {
	units map[string]*fakeUnit
	// Booted is false where systemd is not the init system.
	Booted bool
	// Coarse makes systemctl one that knows no --timestamp option.
	Coarse bool
}

type fakeUnit struct {
	text    string // of all its files, as loaded
	active  string // active or failed; "" for inactive
	since   time.Time
	result  string
	reloads int
}

// unitDirs are searched in this order (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", generatedDir, "/usr/lib/systemd/system"}

// Install registers the commands. The base system has sshd's unit and cron's.
func (s *Systemd) Install(h *Host, f *FS) {
	s.units, s.Booted = map[string]*fakeUnit{}, true
	for name, text := range map[string]string{
		"ssh.service":  "[Service]\nType=notify\nExecStart=/usr/sbin/sshd -D\nExecReload=/bin/kill -HUP $MAINPID\n[Install]\nWantedBy=multi-user.target\n",
		"cron.service": "[Service]\nType=notify\nExecStart=/usr/sbin/cron -f\n[Install]\nWantedBy=multi-user.target\n",
	} {
		must(f.WriteFile("/usr/lib/systemd/system/"+name, []byte(text), resource.Access{Mode: 0o644}))
		s.link(f, name)
		s.units[name] = &fakeUnit{text: textOf(f, name), active: "active", since: f.now}
	}
	h.Handle("systemctl", s.systemctl)
	h.Handle("journalctl", s.journalctl)
}

// Render lists what runs or has failed.
func (s *Systemd) Render(f *FS) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.units)) {
		u := s.units[name]
		if u.active == "" {
			continue
		}
		b.WriteString("unit " + name + " " + u.active)
		if u.text != textOf(f, name) {
			b.WriteString(" (changed on disk)")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Crash lets a unit's process end with a failure.
func (s *Systemd) Crash(h *Host, name string) error {
	return h.Change(func(*FS) error {
		s.units[name].active, s.units[name].result = "failed", "exit-code"
		return nil
	})
}

func (s *Systemd) systemctl(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	if s.Coarse && slices.Contains(c.Args, "--timestamp=us+utc") {
		return Exit(c, 1, "systemctl: unrecognized option '--timestamp=us+utc'")
	}
	args, err := ParseArgs(c, "-p=", "--timestamp=", "--no-block")
	if err != nil || len(args.Rest) == 0 {
		return resource.Output{}, Refuse(c, "not understood: %v", err)
	}
	if !s.Booted {
		return Exit(c, 1, "System has not been booted with systemd as init system (PID 1). Can't operate.")
	}
	verb, names := args.Rest[0], args.Rest[1:]
	if verb == "show" {
		return s.show(h, args, names)
	}
	var out resource.Output
	err = h.Change(func(f *FS) (err error) {
		out, err = s.do(f, c, verb, names)
		return err
	})
	return out, err
}

func (s *Systemd) show(h *Host, args Args, names []string) (resource.Output, error) {
	var blocks []string
	err := h.View(func(f *FS) error {
		for _, n := range names {
			props := s.properties(f, n, args.Get("--timestamp") != "")
			var b strings.Builder
			for _, p := range strings.Split(args.Get("-p"), ",") {
				if v, ok := props[p]; ok {
					b.WriteString(p + "=" + v + "\n")
				}
			}
			blocks = append(blocks, b.String())
		}
		return nil
	})
	return resource.Output{Stdout: []byte(strings.Join(blocks, "\n"))}, err
}

func (s *Systemd) properties(f *FS, name string, fine bool) map[string]string {
	u := s.load(f, name)
	p := map[string]string{
		"Id": name, "LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "Result": "success", "NRestarts": "0",
		"UnitFileState": s.fileState(f, name), "NeedDaemonReload": "no", "Type": u.setting("Type", "simple"),
		"RemainAfterExit": u.setting("RemainAfterExit", "no"), "ActiveEnterTimestamp": "", "ExecMainStartTimestamp": "",
	}
	if path.Ext(name) != ".service" {
		delete(p, "Type")
	}
	switch {
	case p["UnitFileState"] == "masked":
		p["LoadState"] = "masked"
	case u.text == "":
		p["LoadState"] = "not-found"
	}
	if u.text != "" && (u.text != textOf(f, name) || outdated(f, name)) {
		p["NeedDaemonReload"] = "yes"
	}
	if u.active != "" {
		p["ActiveState"], p["SubState"] = u.active, map[string]string{"active": "running", "failed": "failed"}[u.active]
		layout := "Mon 2006-01-02 15:04:05 MST"
		if fine {
			layout = "Mon 2006-01-02 15:04:05.000000 MST"
		}
		p["ActiveEnterTimestamp"] = u.since.UTC().Format(layout)
		p["ExecMainStartTimestamp"] = p["ActiveEnterTimestamp"]
	}
	if u.result != "" {
		p["Result"] = u.result
	}
	return p
}

// load returns the unit as systemd has it in memory, reading it the first time.
func (s *Systemd) load(f *FS, name string) *fakeUnit {
	u := s.units[name]
	if u == nil {
		u = &fakeUnit{}
		s.units[name] = u
	}
	if u.text == "" {
		u.text = textOf(f, name)
	}
	return u
}

// textOf returns the unit's file and drop-ins as one text, "" if there is none.
func textOf(f *FS, name string) string {
	var text string
	for _, dir := range unitDirs {
		if data, err := f.ReadFile(dir + "/" + name); err == nil {
			text = string(data)
			break
		}
	}
	if text == "" {
		return ""
	}
	for _, dir := range unitDirs {
		names, _ := f.ReadDir(dir + "/" + name + ".d")
		for _, n := range names {
			data, _ := f.ReadFile(dir + "/" + name + ".d/" + n)
			text += string(data)
		}
	}
	return text
}

// setting returns the last value of a setting.
func (u *fakeUnit) setting(name, otherwise string) string {
	for line := range strings.Lines(u.text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			otherwise = v
		}
	}
	return otherwise
}

func (s *Systemd) fileState(f *FS, name string) string {
	if target, err := f.Readlink("/etc/systemd/system/" + name); err == nil && target == "/dev/null" {
		return "masked"
	}
	text := textOf(f, name)
	switch {
	case text == "":
		return ""
	case isGenerated(f, name):
		return "generated"
	case !strings.Contains(text, "[Install]"):
		return "static"
	case s.wants(f, name) != nil:
		return "enabled"
	default:
		return "disabled"
	}
}

// wants returns the symlinks that enable the unit.
func (s *Systemd) wants(f *FS, name string) []string {
	var out []string
	dirs, _ := f.ReadDir("/etc/systemd/system")
	for _, d := range dirs {
		p := "/etc/systemd/system/" + d + "/" + name
		if _, err := f.Lstat(p); err == nil && strings.HasSuffix(d, ".wants") {
			out = append(out, p)
		}
	}
	return out
}

func (s *Systemd) link(f *FS, name string) {
	u := &fakeUnit{text: textOf(f, name)}
	for _, target := range strings.Fields(u.setting("WantedBy", "")) {
		dir := "/etc/systemd/system/" + target + ".wants"
		must(f.MkdirAll(dir))
		must(f.Symlink("/usr/lib/systemd/system/"+name, dir+"/"+name))
	}
}

func (s *Systemd) unlink(f *FS, name string) {
	for _, p := range s.wants(f, name) {
		must(f.Remove(p))
		if names, _ := f.ReadDir(path.Dir(p)); len(names) == 0 {
			must(f.Remove(path.Dir(p)))
		}
	}
}

// do carries out a verb that changes something.
func (s *Systemd) do(f *FS, c resource.Command, verb string, names []string) (resource.Output, error) {
	if verb == "daemon-reload" {
		generate(f)
		for name, u := range s.units {
			u.text = textOf(f, name)
		}
		return resource.Output{}, nil
	}
	if len(names) == 0 {
		return resource.Output{}, Refuse(c, "no unit named")
	}
	for _, name := range names {
		if s.load(f, name).text == "" && verb != "mask" && verb != "unmask" {
			return Exit(c, 5, "Unit %s not found.", name)
		}
		if out, err := s.one(f, c, verb, name); err != nil {
			return out, err
		}
	}
	return resource.Output{}, nil
}

func (s *Systemd) one(f *FS, c resource.Command, verb, name string) (resource.Output, error) {
	u := s.load(f, name)
	switch verb {
	case "start":
		if u.active == "active" {
			return resource.Output{}, nil
		}
		return s.start(f, c, name)
	case "restart":
		return s.start(f, c, name)
	case "try-restart":
		if u.active == "active" {
			return s.start(f, c, name)
		}
	case "reload-or-restart":
		if u.active != "active" || u.setting("ExecReload", "") == "" {
			return s.start(f, c, name)
		}
		u.reloads++
	case "stop":
		u.active, u.result = "", ""
	case "reset-failed":
		if u.active == "failed" {
			u.active, u.result = "", ""
		}
	case "enable":
		s.link(f, name)
	case "disable":
		s.unlink(f, name)
	case "reenable":
		s.unlink(f, name)
		s.link(f, name)
	case "mask":
		return resource.Output{}, f.Symlink("/dev/null", "/etc/systemd/system/"+name)
	case "unmask":
		return resource.Output{}, f.Remove("/etc/systemd/system/" + name)
	default:
		return resource.Output{}, Refuse(c, "unknown verb %s", verb)
	}
	return resource.Output{}, nil
}

func (s *Systemd) start(f *FS, c resource.Command, name string) (resource.Output, error) {
	u := s.load(f, name)
	exec := strings.Fields(u.setting("ExecStart", ""))
	if s.fileState(f, name) == "masked" {
		return Exit(c, 1, "Failed to start %s: Unit %s is masked.", name, name)
	}
	if err := u.run(f); err != nil {
		return resource.Output{}, err
	}
	u.since, u.active, u.result = f.now, "active", ""
	if slices.Contains(exec, "false") || slices.Contains(exec, "dies") {
		u.active, u.result = "failed", "exit-code"
	}
	if u.setting("Type", "") == "oneshot" && u.setting("RemainAfterExit", "no") == "no" && u.active == "active" {
		u.active = ""
	}
	if slices.Contains(exec, "false") {
		return Exit(c, 1, "Job for %s failed because the control process exited with error code.", name)
	}
	return resource.Output{}, nil
}

// Reloads returns how often the unit has reloaded.
func (s *Systemd) Reloads(name string) int { return s.units[name].reloads }

// journalctl prints what a failing service has said.
func (s *Systemd) journalctl(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "-u=", "-n=", "--no-pager", "-o=")
	if err != nil {
		return resource.Output{}, err
	}
	if _, err := strconv.Atoi(args.Get("-n")); err != nil {
		return resource.Output{}, Refuse(c, "no number of lines")
	}
	if u := s.units[args.Get("-u")]; u != nil && u.active == "failed" {
		return Print("%s: bad configuration in line 3\n", args.Get("-u"))
	}
	return Print("")
}
