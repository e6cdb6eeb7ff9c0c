package work

import (
	"fmt"
	"strings"
)

// Manifest returns the work as a manifest for puppet apply. Facts are taken by
// Puppet itself; certname is set to the host's name.
func (w Work) Manifest() string {
	var b strings.Builder
	b.WriteString("$host = $trusted['certname']\n")
	for _, d := range w.Dirs {
		fmt.Fprintf(&b, "file { '%s': ensure => directory, mode => '0755', owner => 'root', group => 'root' }\n", d)
	}
	for _, f := range w.Files {
		text := strings.ReplaceAll(fmt.Sprintf("%q", f.Content), Host, "${host}")
		fmt.Fprintf(&b, "file { '%s': content => %s, mode => '0644', owner => 'root', group => 'root' }\n", f.Path, text)
	}
	for _, u := range w.Users {
		fmt.Fprintf(&b, "user { '%s': ensure => present, uid => '%d', shell => '%s' }\n", u.Name, u.UID, u.Shell)
	}
	for _, p := range w.Packages {
		fmt.Fprintf(&b, "package { '%s': ensure => installed }\n", p)
	}
	for _, u := range w.Units {
		fmt.Fprintf(&b, "service { '%s': ensure => running, enable => true }\n", u)
	}
	return b.String()
}
