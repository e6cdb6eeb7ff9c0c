package api

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Settings are what an operator can choose about the API. The zero value has
// Octavia's defaults; those that forbid something are named so that false is the
// default.
type Settings struct {
	// PublicURL is put before the paths in links, such as
	// https://lb.example.org/load-balancer; the address of the request when empty.
	PublicURL string
	// MaxPage bounds the objects of one answer; 1000 when zero.
	MaxPage int
	// Topology of load balancers whose flavor names none; SINGLE when empty.
	Topology string
	// Quotas are the limits of projects without their own; nil is no limit.
	// The store enforces them; this is what is shown.
	Quotas model.Limits

	ForbidVIPNetwork, ForbidVIPSubnet, ForbidVIPPort bool
	// VIPNetworks are those that VIPs may be on; any when empty.
	VIPNetworks []string
	// DeniedVIPNetworks are those that VIPs may not be on.
	DeniedVIPNetworks []string

	ForbidTLS, ForbidPrometheus, ForbidPing bool
	// ReservedAddresses cannot be members; the metadata service's when nil.
	ReservedAddresses []string
	// ProhibitedCiphers are refused, MinimumTLS is the oldest version allowed.
	ProhibitedCiphers []string
	MinimumTLS        string
	// MinUDPDelay is the least delay of a UDP-CONNECT monitor in seconds; 3 when zero.
	MinUDPDelay int
	// HealthCheck serves /healthcheck, which Octavia does only when told so.
	HealthCheck bool
}

func (s Settings) withDefaults() Settings {
	if s.MaxPage == 0 {
		s.MaxPage = 1000
	}
	if s.Topology == "" {
		s.Topology = model.TopologySingle
	}
	if s.ReservedAddresses == nil {
		s.ReservedAddresses = []string{"169.254.169.254"}
	}
	if s.MinUDPDelay == 0 {
		s.MinUDPDelay = 3
	}
	return s
}

// Defaults of attributes that are set when TLS is in use.
var (
	defaultVersions = []string{"TLSv1.2", "TLSv1.3"}
	defaultALPN     = alpnProtocols
)

// Providers. All names mean the same one here.
const defaultProvider = "amphora"

// providers are what can be named, with descriptions.
var providers = []struct{ name, description string }{
	{"amphora", "The updraft amphora driver."},
	{"amphorav2", "Alias of amphora, for what was written for Octavia."},
	{"octavia", "Alias of amphora, for what was written for Octavia."},
}

func knownProvider(name string) bool {
	return slices.ContainsFunc(providers, func(p struct{ name, description string }) bool { return p.name == name })
}
