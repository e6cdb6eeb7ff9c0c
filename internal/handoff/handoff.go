// Package handoff renders what is known of a cloud into the files that other
// tools read: Ansible inventories, an ssh_config, a fragment for /etc/hosts, DNS
// zones and facts as JSON; of an OpenStack also clouds.yaml, an openrc, the
// authority's certificate and the list of endpoints.
//
// It guarantees that the same cloud gives the same bytes, that the files refer
// to each other by the directory they are written to, and that no name or path
// can break out of its place in a file: what a format cannot carry is refused.
// The files hold no secrets, only the paths of keys; but for clouds.yaml and
// openrc, which hold a password and are for their owner alone.
package handoff

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Input is a cloud as far as it is handed over.
type Input struct {
	Cloud  string
	Domain string // DNS domain of the hosts, such as "web.internal"
	// Dir is the absolute path of the directory that the files will lie in.
	Dir      string
	Hosts    []Host
	VIPs     []VIP
	Networks []Network
	// OpenStack is nil if the cloud is none.
	OpenStack *OpenStack
}

// Host is one host.
type Host struct {
	Name  string   `json:"name"`
	Group string   `json:"group"`
	Roles []string `json:"roles,omitempty"`
	NICs  []NIC    `json:"nics,omitempty"`
	SSH   SSH      `json:"ssh"`
}

// NIC is a network interface of a host. The first one is that by which it is
// reached, and has the host's plain name.
type NIC struct {
	Name     string       `json:"name,omitempty"`
	Network  string       `json:"network"`
	MAC      string       `json:"mac,omitempty"`
	Address  netip.Prefix `json:"address,omitzero"`
	Address6 netip.Prefix `json:"address6,omitzero"`
}

// SSH is how to log in to a host.
type SSH struct {
	Address      string `json:"address"` // IP address or DNS name
	Port         int    `json:"port"`    // 22 when zero
	User         string `json:"user"`
	Identity     string `json:"identity,omitempty"`    // path of the private key
	KnownHosts   string `json:"known_hosts,omitempty"` // path
	HostKeyAlias string `json:"host_key_alias,omitempty"`
	ProxyJump    string `json:"proxy_jump,omitempty"` // [user@]host[:port]
	// ProxyCommand is a program with its arguments. Arguments that are one of
	// ssh's tokens %h, %p, %r and %n are left to ssh to expand.
	ProxyCommand []string `json:"proxy_command,omitempty"`
}

// VIP is a virtual address.
type VIP struct {
	Name    string     `json:"name"`
	Network string     `json:"network"`
	Address netip.Addr `json:"address"`
	Group   string     `json:"group"`
}

// Network is a network.
type Network struct {
	Name     string       `json:"name"`
	CIDR     netip.Prefix `json:"cidr,omitzero"`
	CIDR6    netip.Prefix `json:"cidr6,omitzero"`
	Deployer netip.Addr   `json:"deployer,omitzero"` // the deploy host's own address in it
}

// File is a file to be written.
type File struct {
	Name    string // without a directory
	Mode    uint32 // permission bits
	Content []byte
}

// Files renders all files, in the order of their names. It fails if a name or
// path cannot be written into one of the formats.
func Files(in Input) ([]File, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	facts, err := facts(in)
	if err != nil {
		return nil, err
	}
	files := []File{
		{Name: "hosts", Content: inventoryINI(in)},
		{Name: "hosts.yaml", Content: inventoryYAML(in)},
		{Name: "ssh_config", Content: sshConfig(in)},
		{Name: "etc-hosts", Content: etcHosts(in)},
		{Name: "facts.json", Content: facts},
	}
	files = append(files, zones(in)...)
	for i := range files {
		files[i].Mode = 0o644
	}
	if in.OpenStack != nil {
		more, err := in.openstackFiles()
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

var (
	label   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	domain  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	user    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	address = regexp.MustCompile(`^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$`)
	jump    = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`)
)

// validate refuses what would not stay in its place, all of it at once.
func (in Input) validate() error {
	var errs []error
	want := func(ok bool, what, value string) {
		if !ok {
			errs = append(errs, fmt.Errorf("cannot hand over %s %q", what, value))
		}
	}
	want(label.MatchString(in.Cloud), "a cloud called", in.Cloud)
	want(domain.MatchString(in.Domain), "the domain", in.Domain)
	want(strings.HasPrefix(in.Dir, "/") && plainPath(in.Dir), "into the directory", in.Dir)
	taken := map[string]bool{}
	for _, h := range in.Hosts {
		want(label.MatchString(h.Name) && !taken[h.Name], "a host called", h.Name)
		taken[h.Name] = true
		want(label.MatchString(h.Group), "a group called", h.Group)
		for _, r := range h.Roles {
			want(label.MatchString(r), "a role called", r)
		}
		for _, n := range h.NICs {
			want(label.MatchString(n.Network), "a network called", n.Network)
		}
		h.SSH.validate(want)
	}
	for _, v := range in.VIPs {
		want(label.MatchString(v.Name) && !taken[v.Name], "a VIP called", v.Name)
		taken[v.Name] = true
		want(v.Address.IsValid(), "without an address the VIP", v.Name)
	}
	return errors.Join(errs...)
}

func (s SSH) validate(want func(ok bool, what, value string)) {
	want(address.MatchString(s.Address), "a host at address", s.Address)
	want(user.MatchString(s.User), "a host with user", s.User)
	want(s.Port >= 0 && s.Port <= 65535, "a host with port", fmt.Sprint(s.Port))
	want(plainPath(s.Identity), "the key file", s.Identity)
	want(plainPath(s.KnownHosts), "the known_hosts file", s.KnownHosts)
	want(s.HostKeyAlias == "" || address.MatchString(s.HostKeyAlias), "the host key alias", s.HostKeyAlias)
	want(s.ProxyJump == "" || jump.MatchString(s.ProxyJump), "the jump host", s.ProxyJump)
	for _, a := range s.ProxyCommand {
		want(!strings.ContainsFunc(a, isControl), "a proxy command with", a)
	}
}

// plainPath reports whether every format can carry the path: ssh_config has no
// way to write a quote and expands ${…}; Ansible expands {{…}} and {%…%}.
func plainPath(p string) bool {
	return !strings.ContainsFunc(p, func(r rune) bool { return isControl(r) || strings.ContainsRune(`"\{`, r) })
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

// address returns the address by which the host is known in hosts files and
// zones: that of its first NIC, or the one for ssh if that is an IP address.
func (h Host) address() (v4, v6 netip.Addr) {
	if len(h.NICs) > 0 {
		return h.NICs[0].Address.Addr(), h.NICs[0].Address6.Addr()
	}
	a, err := netip.ParseAddr(h.SSH.Address)
	switch {
	case err != nil:
		return netip.Addr{}, netip.Addr{}
	case a.Is4():
		return a, netip.Addr{}
	default:
		return netip.Addr{}, a
	}
}
