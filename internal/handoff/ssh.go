package handoff

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sshConfig renders a file for ssh -F (ssh_config(5)). ssh takes the first
// value that it finds, so what holds for all hosts stands last.
func sshConfig(in Input) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Hosts of the cloud %s. Use: ssh -F %s HOST\n", in.Cloud, shellQuote(in.file("ssh_config")))
	for _, h := range in.Hosts {
		b.WriteString("\n")
		hostBlock(&b, h, in.Domain)
	}
	b.WriteString("\nHost *\n    StrictHostKeyChecking yes\n    ControlMaster no\n    ServerAliveInterval 15\n    ServerAliveCountMax 3\n")
	return b.Bytes()
}

func hostBlock(b *bytes.Buffer, h Host, domain string) {
	s := h.SSH
	set := func(key, value string) {
		if value != "" {
			fmt.Fprintf(b, "    %s %s\n", key, value)
		}
	}
	fmt.Fprintf(b, "Host %s %s.%s\n", h.Name, h.Name, domain)
	set("HostName", s.Address)
	if s.Port != 0 {
		set("Port", strconv.Itoa(s.Port))
	}
	set("User", s.User)
	if s.Identity != "" {
		set("IdentityFile", sshPath(s.Identity))
		set("IdentitiesOnly", "yes")
	}
	if s.KnownHosts != "" {
		set("UserKnownHostsFile", sshPath(s.KnownHosts))
		set("GlobalKnownHostsFile", "none")
	}
	set("HostKeyAlias", s.HostKeyAlias)
	set("ProxyJump", s.ProxyJump)
	if len(s.ProxyCommand) > 0 {
		set("ProxyCommand", proxyCommand(s.ProxyCommand))
	}
}

// sshPath quotes a path and protects it from the expansion of tokens.
func sshPath(p string) string {
	return `"` + strings.ReplaceAll(p, "%", "%%") + `"`
}

// sshTokens are left to ssh to expand: host, port, login name, alias.
var sshTokens = []string{"%h", "%p", "%r", "%n"}

// proxyCommand quotes a command for the shell that ssh runs it with, and for
// ssh's own expansion before that. The tokens stand outside of quotes; ssh
// itself refuses hosts and users with characters that mean something there.
func proxyCommand(argv []string) string {
	parts := make([]string, len(argv))
	for i, a := range argv {
		parts[i] = a
		if !slices.Contains(sshTokens, a) {
			parts[i] = strings.ReplaceAll(shellQuote(a), "%", "%%")
		}
	}
	return strings.Join(parts, " ")
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellQuote quotes a word for a POSIX shell.
func shellQuote(s string) string {
	if shellSafe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (in Input) file(name string) string {
	return strings.TrimSuffix(in.Dir, "/") + "/" + name
}
