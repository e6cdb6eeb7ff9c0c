package basebox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
)

// header begins every file that updraft writes whole; apt, chrony, sh and
// sudoers all take # for a comment.
const header = "# Written by updraft. Changes made by hand are lost.\n"

// defaultPool is where the time comes from when nothing else is said.
const defaultPool = "2.debian.pool.ntp.org"

// chronyConf renders chrony.conf. A step is allowed while chrony starts, for a
// machine whose clock is far off; later the clock only drifts towards the truth.
func chronyConf(servers []string) string {
	var b strings.Builder
	b.WriteString(header)
	for _, s := range servers {
		fmt.Fprintf(&b, "server %s iburst\n", s)
	}
	if len(servers) == 0 {
		fmt.Fprintf(&b, "pool %s iburst\n", defaultPool)
	}
	b.WriteString("driftfile /var/lib/chrony/chrony.drift\nmakestep 1 3\nrtcsync\n")
	return b.String()
}

// chronyDefaults renders /etc/default/chrony. With -x chrony measures and
// leaves the clock alone.
func chronyDefaults(clock bool) string {
	if clock {
		return header + "DAEMON_OPTS=\"-F 1\"\n"
	}
	return header + "DAEMON_OPTS=\"-F 1 -x\"\n"
}

// sudoers renders the rules of the users who may become root.
func sudoers(users []User) string {
	var b strings.Builder
	b.WriteString(header)
	for _, u := range users {
		switch {
		case u.Sudo && u.NoPasswd:
			fmt.Fprintf(&b, "%s ALL=(ALL:ALL) NOPASSWD: ALL\n", u.Name)
		case u.Sudo:
			fmt.Fprintf(&b, "%s ALL=(ALL:ALL) ALL\n", u.Name)
		}
	}
	return b.String()
}

// Variable is one of the environment.
type Variable struct{ Name, Value string }

// ProxyEnvironment is the cloud's proxy as programs on hosts are told of it, with
// names in lower case; nothing when there is none. The cloud's own networks and
// names are reached without it. secret says that it holds a password, or may.
func ProxyEnvironment(c *spec.Cloud) (vars []Variable, secret bool) {
	if !hasProxy(c) {
		return nil, false
	}
	v4, v6 := networks(c)
	direct := slices.Concat([]string{"localhost", "127.0.0.1", "::1", "." + c.Domain}, v4, v6, c.Proxy.NoProxy)
	for _, v := range []Variable{{"http_proxy", c.Proxy.HTTP}, {"https_proxy", c.Proxy.HTTPS}, {"no_proxy", strings.Join(direct, ",")}} {
		if v.Value != "" {
			vars = append(vars, v)
		}
	}
	return vars, secretProxy(c)
}

// profileProxy renders the proxy as environment variables of login shells.
func profileProxy(c *spec.Cloud) string {
	var b strings.Builder
	b.WriteString(header)
	vars, _ := ProxyEnvironment(c)
	for _, v := range vars {
		fmt.Fprintf(&b, "export %s=%s %s=%s\n", v.Name, shellQuote(v.Value), strings.ToUpper(v.Name), shellQuote(v.Value))
	}
	return b.String()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
