// Package basebox is the configset of what every host has: users and their keys,
// sudo, names of the other hosts, time, packages, kernel settings, a firewall,
// and the way to package repositories and proxies.
//
// It guarantees that a host is never locked out by it: sudo rules are put in
// place only if visudo accepts them, firewall rules only if nft does, and the
// firewall always lets ssh in. Defaults ask for little, so that the first run is
// fast and the later ones cost nothing.
package basebox

import (
	"github.com/updraft-cloud/updraft/internal/configset"
)

// Name is the set's name.
const Name = "basebox"

// Params are the parameters.
type Params struct {
	Hostname  bool              `json:"hostname" default:"true" doc:"Set the host's name to that in the cloud file."`
	Hosts     bool              `json:"hosts" default:"true" doc:"List all hosts and virtual addresses of the cloud in /etc/hosts."`
	Users     []User            `json:"users" doc:"Users to log in as."`
	Packages  []string          `json:"packages" doc:"Packages to install."`
	Sysctls   map[string]string `json:"sysctls" doc:"Kernel settings by name, such as net.ipv4.ip_forward."`
	Time      Time              `json:"time" doc:"Time synchronisation by chrony."`
	Firewall  Firewall          `json:"firewall" doc:"A packet filter for what comes in."`
	Etckeeper bool              `json:"etckeeper" default:"false" doc:"Keep the history of /etc in git, with etckeeper."`
	Proxy     bool              `json:"proxy" default:"true" doc:"Make apt and login shells use the proxy of the cloud file, where it names one."`
	Sources   *Sources          `json:"sources" doc:"Replace the host's package sources by the mirror of the cloud file."`
}

// User is a user to log in as.
type User struct {
	Name     string   `json:"name" required:"true" format:"user" doc:"The user's name."`
	Keys     []string `json:"keys" format:"line" doc:"Public ssh keys, each as a line of authorized_keys."`
	Shell    string   `json:"shell" default:"/bin/bash" format:"path" doc:"The login shell."`
	Groups   []string `json:"groups" format:"user" doc:"Further groups, which must exist or be made by another resource."`
	Sudo     bool     `json:"sudo" default:"false" doc:"Let the user become root by sudo."`
	NoPasswd bool     `json:"nopasswd" default:"true" doc:"Let sudo not ask for a password, which users made here do not have."`
}

// Time is time synchronisation.
type Time struct {
	Enabled *bool    `json:"enabled" doc:"Run chrony. Left out, it runs on all hosts but those of the lab, which have this computer's own clock."`
	Servers []string `json:"servers" format:"host" doc:"Time servers; a pool of the Debian project when left out."`
	Clock   *bool    `json:"clock" doc:"Let chrony set the clock. Left out, it does, but in the lab, where it would be this computer's clock."`
}

// Firewall is a packet filter.
type Firewall struct {
	Enabled bool  `json:"enabled" default:"false" doc:"Refuse what is not allowed here. Answers, ICMP and ssh are always let in."`
	TCP     []int `json:"tcp" min:"1" max:"65535" doc:"TCP ports that anybody may connect to."`
	UDP     []int `json:"udp" min:"1" max:"65535" doc:"UDP ports that anybody may send to."`
	Closed  bool  `json:"closed" default:"false" doc:"Treat the cloud's own networks like any other. Otherwise all that comes from them is let in."`
}

// Sources are package sources.
type Sources struct {
	Distribution string   `json:"distribution" default:"debian" enum:"debian,ubuntu" doc:"Which of mirrors in the cloud file to use."`
	Suites       []string `json:"suites" required:"true" format:"host" doc:"The suites, such as [trixie, trixie-updates]."`
	Components   []string `json:"components" format:"label" doc:"The components; main when left out."`
}

// Set returns the configset.
func Set() configset.Set {
	return configset.Set{
		Name: Name,
		Doc: "What every host has: its name and those of the others, users with keys and sudo, time, packages, kernel settings, " +
			"a firewall, and the way to package repositories and proxies. " +
			"Without parameters it sets the host name and /etc/hosts, and makes apt use the package cache and the proxy of the cloud file.",
		Params: func() any { return configset.Defaults(&Params{}) },
		Build:  build,
	}
}
