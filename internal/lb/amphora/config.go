package amphora

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// AgentPort is where agents listen.
const AgentPort = 9443

// ControllerName is the common name of the certificate that controllers show to
// agents. Those of agents, which come from the same authority, are refused.
const ControllerName = "updraft-lb-controller"

// DirMark stands for the agent's directory in the text for keepalived, which has
// no notion of a working directory.
const DirMark = "@DIR@"

// Config is all that an amphora shall do.
type Config struct {
	// Amphora is the id of whom it is for; another agent refuses it.
	Amphora      string `json:"amphora"`
	LoadBalancer string `json:"loadbalancer"`
	// Version grows with every change. An agent refuses an older one.
	Version uint64 `json:"version"`
	// Fenced amphorae must not hold a VIP, and keepalived does not run.
	Fenced bool  `json:"fenced,omitempty"`
	VIPs   []VIP `json:"vips"`
	// HAProxy is nil when no listener needs it.
	HAProxy *HAProxy `json:"haproxy,omitempty"`
	// Keepalived is the text of keepalived.conf, empty where the VIPs belong to
	// this amphora alone.
	Keepalived string `json:"keepalived,omitempty"`
	// Files are certificates, keys and revocation lists.
	Files []File `json:"files,omitempty"`
	// Virtuals are the UDP and SCTP listeners.
	Virtuals []Virtual `json:"virtuals,omitempty"`
	// Probes are checks that HAProxy cannot do.
	Probes    []Probe   `json:"probes,omitempty"`
	Heartbeat Heartbeat `json:"heartbeat"`
}

// VIP is an address of the load balancer.
type VIP struct {
	Address netip.Addr `json:"address"`
	// Bits is the length of the subnet's prefix.
	Bits      int    `json:"bits"`
	Interface string `json:"interface"`
}

// Prefix is the address as an interface has it.
func (v VIP) Prefix() netip.Prefix { return netip.PrefixFrom(v.Address, v.Bits) }

// HAProxy is a configuration file in pieces: those that only a reload can
// change, and the servers, which the runtime API can.
type HAProxy struct {
	// Head is everything but the backends.
	Head     string    `json:"head"`
	Backends []Backend `json:"backends"`
	// Listeners are the frontends that must be there, by their names.
	Listeners []string `json:"listeners"`
}

// Backend is a pool as one listener uses it.
type Backend struct {
	Name string `json:"name"`
	Pool string `json:"pool"`
	// Text are the lines between "backend NAME" and the servers.
	Text    string   `json:"text"`
	Servers []Server `json:"servers"`
	// Static says that the algorithm or the persistence takes no servers at
	// run time.
	Static bool `json:"static,omitempty"`
}

// Server is a member of a pool.
type Server struct {
	Name     string         `json:"name"`
	Address  netip.AddrPort `json:"address"`
	Weight   int            `json:"weight"`
	Disabled bool           `json:"disabled,omitempty"`
	// Options are the words that follow, such as check and send-proxy.
	Options []string `json:"options,omitempty"`
}

// Text is the whole configuration file.
func (h *HAProxy) Text() string {
	var b strings.Builder
	b.WriteString(h.Head)
	for _, be := range h.Backends {
		b.WriteString("\nbackend " + be.Name + "\n" + be.Text)
		for _, s := range be.Servers {
			b.WriteString("    " + s.line() + "\n")
		}
	}
	return b.String()
}

// Has reports whether there is such a server.
func (h *HAProxy) Has(backend, server string) bool {
	return slices.ContainsFunc(h.Backends, func(b Backend) bool {
		return b.Name == backend && slices.ContainsFunc(b.Servers, func(s Server) bool { return s.Name == server })
	})
}

func (s Server) line() string {
	words := append([]string{"server", s.Name, s.Address.String()}, s.words()...)
	if s.Disabled {
		words = append(words, "disabled")
	}
	for i, w := range words {
		words[i] = Quote(w)
	}
	return strings.Join(words, " ")
}

// File is one that HAProxy reads. Its name is that of its content (see Content),
// so that a change of one is a change of the text that names it. Without data it is
// one that the agent has.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// Content returns a file that is named after its content, with a suffix that
// tells people what it is.
func Content(data []byte, suffix string) File {
	return File{Name: ContentName(data) + suffix, Data: data}
}

// ContentName returns the name of a content.
func ContentName(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12])
}

// Virtual is a listener whose packets the kernel forwards.
type Virtual struct {
	Listener string `json:"listener"`
	Pool     string `json:"pool,omitempty"`
	// Protocol is udp or sctp.
	Protocol  string       `json:"protocol"`
	Addresses []netip.Addr `json:"addresses"`
	Port      uint16       `json:"port"`
	// Limit is the most flows at a time, 0 for none.
	Limit   int            `json:"limit,omitempty"`
	Allowed []netip.Prefix `json:"allowed,omitempty"` // empty: everybody
	// Algorithm is one of the contract's names.
	Algorithm string `json:"algorithm,omitempty"`
	// Persist is how many seconds a client stays with its member, 0 for not at
	// all; Granularity is a netmask of IPv4, PrefixLen the same for IPv6.
	Persist     int        `json:"persist,omitempty"`
	Granularity netip.Addr `json:"granularity,omitzero"`
	Targets     []Target   `json:"targets,omitempty"`
	Check       *Check     `json:"check,omitempty"`
}

// Target is a member of a virtual.
type Target struct {
	Member   string         `json:"member"`
	Address  netip.AddrPort `json:"address"`
	Weight   int            `json:"weight"`
	Backup   bool           `json:"backup,omitempty"`
	Disabled bool           `json:"disabled,omitempty"`
	// Monitor is where its health is seen.
	Monitor netip.AddrPort `json:"monitor"`
}

// Check is how the agent looks at health.
type Check struct {
	// Type is one of the contract's names of health monitors.
	Type string `json:"type"`
	// DelayMS and TimeoutMS are in milliseconds.
	DelayMS   int    `json:"delay_ms"`
	TimeoutMS int    `json:"timeout_ms"`
	Rise      int    `json:"rise"`
	Fall      int    `json:"fall"`
	Method    string `json:"method,omitempty"`
	Path      string `json:"path,omitempty"`
	Host      string `json:"host,omitempty"`
	// HTTP10 asks without a Host header.
	HTTP10 bool `json:"http10,omitempty"`
	// Expect lists codes and ranges of codes, as the contract writes them.
	Expect string `json:"expect,omitempty"`
}

// Probe is a check of HAProxy's server by the agent, which tells HAProxy what it
// sees.
type Probe struct {
	Backend string         `json:"backend"`
	Server  string         `json:"server"`
	Monitor netip.AddrPort `json:"monitor"`
	Check   Check          `json:"check"`
}

// Heartbeat is how an agent tells that it lives.
type Heartbeat struct {
	// Receivers are the addresses (host:port) of all controllers.
	Receivers  []string `json:"receivers,omitempty"`
	IntervalMS int      `json:"interval_ms,omitempty"`
	Key        []byte   `json:"key,omitempty"`
}

// Decode reads a Config and checks it. Unknown fields are refused: an agent that
// does not know one would do something else than its controller believes.
func Decode(data []byte) (*Config, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Digest names the content without its version, so that a controller can see
// what an agent runs.
func (c *Config) Digest() string {
	other := *c
	other.Version = 0
	data, err := json.Marshal(other)
	if err != nil {
		return "" // plain data always encodes
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
