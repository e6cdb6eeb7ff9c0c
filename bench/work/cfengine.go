package work

import (
	"fmt"
	"strings"
)

// cfLib is where Debian's package keeps the standard library on a host.
const cfLib = "/var/lib/cfengine3/masterfiles/lib"

// CFEngineSetup is a shell script that prepares a host for the policy: a key, and
// no daemons beside the benchmark.
const CFEngineSetup = "[ -e /var/lib/cfengine3/ppkeys/localhost.priv ] || cf-key\n" +
	"for u in cfengine3 cf-apache cf-execd cf-hub cf-monitord cf-postgres cf-reactor cf-serverd; do\n" +
	"  systemctl mask --now --quiet $u.service || exit\ndone\n"

// policyHead uses the standard library. It defines the class by which that
// knows systemd, so that the inventory of the host need not be taken.
const policyHead = `body common control
{
  inputs => { "` + cfLib + `/stdlib.cf" };
  bundlesequence => { "is", "work" };
}

bundle common is
{
  classes:
    "systemd" expression => "any";
}

body service_method systemd
{
  service_bundle => systemd_services("$(this.promiser)", "$(this.service_policy)");
}

bundle agent work
{
`

// Policy returns the work as a policy of CFEngine 3. It is written for speed:
// whether a package is there is looked up in dpkg's database, which costs nothing
// beside the standard library's package module (0.7 s of processor time for each
// host); services are the standard library's.
func (w Work) Policy() string {
	var b strings.Builder
	b.WriteString(policyHead + "  files:\n")
	for _, d := range w.Dirs {
		fmt.Fprintf(&b, "    \"%s/.\" create => \"true\", perms => mog(\"755\", \"root\", \"root\");\n", d)
	}
	for _, f := range w.Files {
		fmt.Fprintf(&b, "    \"%s\" create => \"true\", perms => mog(\"644\", \"root\", \"root\"), content => \"%s\";\n", f.Path, f.content("$(sys.uqhost)"))
	}
	b.WriteString("  users:\n")
	for _, u := range w.Users {
		fmt.Fprintf(&b, "    \"%s\" policy => \"present\", uid => \"%d\", shell => \"%s\";\n", u.Name, u.UID, u.Shell)
	}
	b.WriteString("  classes:\n")
	for _, p := range w.Packages {
		fmt.Fprintf(&b, "    \"have_%s\" expression => fileexists(\"/var/lib/dpkg/info/%s.list\");\n", p, p)
	}
	b.WriteString("  commands:\n")
	for _, p := range w.Packages {
		fmt.Fprintf(&b, "    !have_%s::\n      \"/usr/bin/apt-get -q -y install %s\";\n    any::\n", p, p)
	}
	b.WriteString("  services:\n")
	for _, u := range w.Units {
		fmt.Fprintf(&b, "    \"%s\" service_policy => \"start\", service_method => systemd;\n", strings.TrimSuffix(u, ".service"))
	}
	b.WriteString("}\n")
	return b.String()
}
