package work

import (
	"fmt"
	"strings"
)

// AnsibleConfig are the settings that are known to be fast: no fact gathering,
// pipelining, connections that stay open, as many hosts at once as there are.
const AnsibleConfig = `[defaults]
inventory = /bench/ansible/hosts
forks = 50
gathering = explicit
retry_files_enabled = false
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = true
ssh_args = -o ControlMaster=auto -o ControlPersist=60s
`

// Playbook returns the work as tasks of ansible-core, one for each thing, as
// roles have them.
func (w Work) Playbook() string {
	var b strings.Builder
	b.WriteString("- hosts: all\n  gather_facts: false\n  tasks:\n")
	task := func(module string, args ...string) {
		fmt.Fprintf(&b, "    - ansible.builtin.%s:\n", module)
		for i := 0; i < len(args); i += 2 {
			fmt.Fprintf(&b, "        %s: %s\n", args[i], args[i+1])
		}
	}
	for _, d := range w.Dirs {
		task("file", "path", d, "state", "directory", "mode", `"0755"`, "owner", "root", "group", "root")
	}
	for _, f := range w.Files {
		task("copy", "dest", f.Path, "content", fmt.Sprintf("%q", f.content("{{ inventory_hostname }}")),
			"mode", `"0644"`, "owner", "root", "group", "root")
	}
	for _, u := range w.Users {
		task("user", "name", u.Name, "uid", fmt.Sprint(u.UID), "shell", u.Shell, "create_home", "false")
	}
	for _, p := range w.Packages {
		task("apt", "name", p, "state", "present")
	}
	for _, u := range w.Units {
		task("systemd_service", "name", u, "enabled", "true", "state", "started")
	}
	return b.String()
}
