// Package work is the work by which tools that configure hosts are compared,
// and how each of them is told to do it.
//
// All tools get the same things to do, written as their own documentation shows
// it, and a check by plain shell tools says whether a host really is as wanted.
package work

import (
	"fmt"
	"strings"
)

// Host stands for the host's name in the content of files.
const Host = "@HOST@"

// File is a file with its content, mode 0644, owned by root.
type File struct{ Path, Content string }

// User is a user with a number and a shell, without a home directory.
type User struct {
	Name  string
	UID   int
	Shell string
}

// Work is a set of things to have on a host.
type Work struct {
	Files    []File
	Dirs     []string // mode 0755, owned by root
	Users    []User
	Packages []string
	Units    []string // enabled and running; the unit files are there already
}

// W100 are 100 things: 60 files of 1 kB that hold the host's name, 15
// directories, 10 users, 5 packages, 5 kernel settings in files, 5 services.
func W100() Work {
	w := Work{Packages: []string{"curl", "jq", "less", "patch", "tree"}}
	for i := range 15 {
		w.Dirs = append(w.Dirs, fmt.Sprintf("/etc/bench%d", i+1))
	}
	for i := range 60 {
		w.Files = append(w.Files, File{
			Path:    fmt.Sprintf("%s/file%d.conf", w.Dirs[i%len(w.Dirs)], i+1),
			Content: kilobyte(i + 1),
		})
	}
	for i, setting := range []string{
		"net.ipv4.tcp_keepalive_time = 600", "net.ipv4.tcp_fin_timeout = 30", "net.core.somaxconn = 1024",
		"vm.swappiness = 10", "kernel.panic = 10",
	} {
		w.Files = append(w.Files, File{Path: fmt.Sprintf("/etc/sysctl.d/90-bench%d.conf", i+1), Content: setting + "\n"})
	}
	for i := range 10 {
		w.Users = append(w.Users, User{Name: fmt.Sprintf("bench%d", i+1), UID: 3001 + i, Shell: "/bin/bash"})
	}
	for i := range 5 {
		w.Units = append(w.Units, fmt.Sprintf("bench%d.service", i+1))
	}
	return w
}

// kilobyte is a text of 1,000 bytes before the host's name is put in. No
// character of it means anything to any of the tools.
func kilobyte(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# file %d of %s\n", n, Host)
	for i := 1; b.Len() < 1000; i++ {
		fmt.Fprintf(&b, "setting_%d_%d = value of %d\n", n, i, i*n)
	}
	return b.String()[:999] + "\n"
}

// Count is the number of things.
func (w Work) Count() int {
	return len(w.Files) + len(w.Dirs) + len(w.Users) + len(w.Packages) + len(w.Units)
}

// Content returns the file's content with name, or a tool's own variable for it,
// in the place of the host's name.
func (f File) content(name string) string { return strings.ReplaceAll(f.Content, Host, name) }

// UnitFiles are the unit files that must be on a host before the work begins, by
// path: services that do nothing.
func (w Work) UnitFiles() map[string]string {
	out := map[string]string{}
	for _, u := range w.Units {
		out["/etc/systemd/system/"+u] = "[Unit]\nDescription=Benchmark\n\n" +
			"[Service]\nExecStart=/usr/bin/tail -f /dev/null\n\n[Install]\nWantedBy=multi-user.target\n"
	}
	return out
}
