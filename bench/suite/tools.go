package suite

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/bench/work"
)

// tool is something that does the work, or that checks whether it is done.
type tool struct {
	name     string
	packages []string // that must be in the hosts' root file system
	version  string   // shell command that prints it, on a host
	setup    string   // shell script that prepares a host
	// run does the work on the hosts and returns how many seconds it took, if it
	// measured that itself.
	run func(ctx context.Context, f *fleet, hosts []string) (float64, error)

	checks   bool // it changes nothing
	slow     bool // it is run less often, perhaps on fewer hosts
	withSlow bool // it is also run on the number of hosts of the slow one
}

// allTools are in the order in which they run.
func allTools() []*tool {
	return []*tool{
		{name: "updraft", run: runUpdraft, withSlow: true},
		{
			name: "floor", packages: []string{"openssh-client"}, checks: true, withSlow: true,
			run: onControl(`p=; for h in $hosts; do ssh "$h" sh <"/bench/check/$h" & p="$p $!"; done
d=0; for p in $p; do wait "$p"; case $? in 0) ;; 1) d=$((d+1));; *) exit 1; esac; done; echo "$d" >/run/differ`),
		},
		{
			name: "cfengine", packages: []string{"cfengine3", "openssh-client"}, setup: work.CFEngineSetup,
			version: "cf-agent --version",
			run: onControl(`p=; for h in $hosts; do ssh "$h" cf-agent -Kf /bench/policy.cf & p="$p $!"; done
for p in $p; do wait "$p" || exit 1; done`),
		},
		{
			name: "puppet", packages: []string{"puppet-agent", "openssh-client"},
			version: "puppet --version",
			run: onControl(`p=; for h in $hosts; do ssh "$h" puppet apply --certname "$h" --detailed-exitcodes /bench/manifest.pp & p="$p $!"; done
for p in $p; do wait "$p"; case $? in 0|2) ;; *) exit 1; esac; done`),
		},
		{
			name: "ansible", packages: []string{"ansible-core", "python3", "python3-apt", "openssh-client"}, slow: true,
			version: "ansible --version",
			run:     onControl(`cd /bench/ansible && ansible-playbook --limit "${hosts// /,}" work.yaml`),
		},
	}
}

// tools are those that were asked for.
func (s *Suite) tools() ([]*tool, error) {
	all := allTools()
	for _, name := range s.Tools {
		if !slices.ContainsFunc(all, func(t *tool) bool { return t.name == name }) {
			return nil, fmt.Errorf("there is no tool %q", name)
		}
	}
	return slices.DeleteFunc(all, func(t *tool) bool { return !slices.Contains(s.Tools, t.name) }), nil
}

func runUpdraft(ctx context.Context, f *fleet, hosts []string) (float64, error) {
	if len(hosts) == len(f.hosts) {
		hosts = nil
	}
	return 0, f.apply(ctx, hosts)
}

// onControl returns how to run a bash script on the control host, which finds
// the names of the hosts in $hosts. The time is taken there, so that the way in
// costs nothing.
func onControl(script string) func(context.Context, *fleet, []string) (float64, error) {
	return func(ctx context.Context, f *fleet, hosts []string) (float64, error) {
		whole := fmt.Sprintf("hosts=%q\nwork() {\n%s\n}\n%s", strings.Join(hosts, " "), script, timing)
		out, err := f.Enter(ctx, "ctl", strings.NewReader(whole), "bash")
		if err != nil {
			return 0, err
		}
		return elapsed(out)
	}
}

// timing runs work and prints when it began and ended (EPOCHREALTIME of bash(1)).
const timing = `start=$EPOCHREALTIME
(work) >/run/bench.log 2>&1 </dev/null || { tail -n 20 /run/bench.log; exit 1; }
echo "$start $EPOCHREALTIME"
`

// elapsed reads two times in seconds.
func elapsed(out string) (float64, error) {
	f := strings.Fields(out)
	if len(f) != 2 {
		return 0, fmt.Errorf("cannot read the time in %q", out)
	}
	start, err := strconv.ParseFloat(f[0], 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read the time in %q: %w", out, err)
	}
	end, err := strconv.ParseFloat(f[1], 64)
	return end - start, err
}

// prepare puts everything on the hosts that must be there before the work.
func (f *fleet) prepare(ctx context.Context, tools []*tool) error {
	onHost := f.work.UnitFiles()
	onHost["/bench/policy.cf"] = f.work.Policy()
	onHost["/bench/manifest.pp"] = f.work.Manifest()
	setup := "set -e\nsystemctl daemon-reload\n"
	for _, t := range tools {
		setup += t.setup
	}
	if err := each(f.hosts, func(h string) error {
		if err := f.put(ctx, h, onHost); err != nil {
			return err
		}
		_, err := f.Script(ctx, h, setup)
		return err
	}); err != nil {
		return err
	}
	files, err := f.controlFiles()
	if err != nil {
		return err
	}
	if err := f.put(ctx, "ctl", files); err != nil {
		return err
	}
	// The first connections are no part of any measurement.
	_, err = f.Script(ctx, "ctl", setup+"for h in "+strings.Join(f.hosts, " ")+"; do ssh $h true; done\n")
	return err
}

// controlFiles are those of the control host: how to reach the others, by the
// lab's own key and known_hosts, and what Ansible and the check need.
func (f *fleet) controlFiles() (map[string]string, error) {
	key, err := os.ReadFile(filepath.Join(f.StateDir(), "id_ed25519"))
	if err != nil {
		return nil, err
	}
	known, err := os.ReadFile(filepath.Join(f.StateDir(), "known_hosts"))
	if err != nil {
		return nil, err
	}
	s, err := f.Spec()
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"/root/.ssh/id_ed25519": string(key), "/root/.ssh/known_hosts": string(known),
		"/bench/ansible/ansible.cfg": work.AnsibleConfig, "/bench/ansible/work.yaml": f.work.Playbook(),
	}
	for _, h := range s.Hosts {
		files["/root/.ssh/config"] += fmt.Sprintf("Host %s\n  HostName %s\n  HostKeyAlias %s\n", h.Name, h.NICs[0].Address.Addr(), h.Name)
		if h.Name != "ctl" {
			files["/bench/ansible/hosts"] += h.Name + "\n"
			files["/bench/check/"+h.Name] = f.work.Check(h.Name)
		}
	}
	return files, nil
}

// put writes files on a host, readable by root alone but for units.
func (f *fleet) put(ctx context.Context, host string, files map[string]string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		mode := int64(0o600)
		if strings.HasPrefix(path, "/etc/") {
			mode = 0o644
		}
		h := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: mode, Size: int64(len(files[path])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write([]byte(files[path])); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := f.Enter(ctx, host, &b, "tar", "-x", "-C", "/")
	return err
}

// versions asks for those of the tools.
func (f *fleet) versions(ctx context.Context, into map[string]string, tools []*tool) error {
	for _, t := range tools {
		if t.version == "" {
			continue
		}
		out, err := f.Script(ctx, "ctl", t.version)
		if err != nil {
			return err
		}
		into[t.name], _, _ = strings.Cut(strings.TrimSpace(out), "\n")
	}
	return nil
}
