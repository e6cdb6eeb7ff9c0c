package model

import (
	"maps"
	"slices"
	"time"
)

// Topologies of the amphora provider.
const (
	TopologySingle        = "SINGLE"
	TopologyActiveStandby = "ACTIVE_STANDBY"
)

// VIP is an address of a load balancer.
type VIP struct {
	Address   string `json:"address,omitempty"`
	SubnetID  string `json:"subnet_id,omitempty"`
	NetworkID string `json:"network_id,omitempty"`
	PortID    string `json:"port_id,omitempty"`
	// PortOwned says that the service made the port and takes it away at the end.
	PortOwned bool `json:"port_owned,omitempty"`
}

// LoadBalancer is a load balancer with what its controllers must remember.
type LoadBalancer struct {
	Base
	VIP              VIP      `json:"vip,omitzero"`
	AdditionalVIPs   []VIP    `json:"additional_vips,omitempty"`
	VIPQoSPolicyID   string   `json:"vip_qos_policy_id,omitempty"`
	VIPSGIDs         []string `json:"vip_sg_ids,omitempty"`
	VIPVNICType      string   `json:"vip_vnic_type,omitempty"` // normal (when empty) or direct
	Provider         string   `json:"provider,omitempty"`
	FlavorID         string   `json:"flavor_id,omitempty"`
	AvailabilityZone string   `json:"availability_zone,omitempty"`
	// Topology is fixed at creation, from the flavor or the configuration.
	Topology string `json:"topology,omitempty"`
	// Cascade says that a deletion takes all children along.
	Cascade bool `json:"cascade,omitempty"`
	// Deleting says that a deletion was begun and is gone on with, although the
	// status is ERROR because it takes too long.
	Deleting bool `json:"deleting,omitempty"`
	// Failover is a failover that was asked for and is not yet done.
	Failover *Failover `json:"failover,omitempty"`
	// SecretRefs are those of which the key manager was told that they are used.
	SecretRefs []string `json:"secret_refs,omitempty"`
	// SecretNames are names of what those stood for when the amphorae were given it,
	// empty where nothing could be given.
	SecretNames map[string]string `json:"secret_names,omitempty"`
	// StatusSince is when the provisioning status became what it is.
	StatusSince time.Time `json:"status_since,omitzero"`
	// StatusReason says why the status is ERROR, or what a PENDING waits for.
	StatusReason string `json:"status_reason,omitempty"`
	// RequestID is the API request that changed the load balancer last.
	RequestID string `json:"request_id,omitempty"`
	// Applied is the version of the configuration that all amphorae carry.
	Applied int64 `json:"applied,omitempty"`
}

// Failover is a request to replace amphorae.
type Failover struct {
	AmphoraID   string    `json:"amphora_id,omitempty"` // all when empty
	RequestedAt time.Time `json:"requested_at,omitzero"`
	RequestID   string    `json:"request_id,omitempty"`
	// Targets are the amphorae that it is meant for.
	Targets []string `json:"targets,omitempty"`
	// Replaced lists the amphorae that were there when it was asked for and
	// are gone already.
	Replaced []string `json:"replaced,omitempty"`
}

// Kind returns KindLoadBalancer.
func (*LoadBalancer) Kind() Kind { return KindLoadBalancer }

// Clone copies deeply.
func (l *LoadBalancer) Clone() *LoadBalancer {
	c := *l
	c.Tags, c.AdditionalVIPs, c.VIPSGIDs = slices.Clone(l.Tags), slices.Clone(l.AdditionalVIPs), slices.Clone(l.VIPSGIDs)
	c.SecretRefs, c.SecretNames = slices.Clone(l.SecretRefs), maps.Clone(l.SecretNames)
	if l.Failover != nil {
		f := *l.Failover
		f.Targets, f.Replaced = slices.Clone(f.Targets), slices.Clone(f.Replaced)
		c.Failover = &f
	}
	return &c
}

// Protocol is a protocol of a listener or a pool.
type Protocol string

// The protocols. PROXY and PROXYV2 are those of pools only, TERMINATED_HTTPS and
// PROMETHEUS those of listeners only.
const (
	ProtocolHTTP            Protocol = "HTTP"
	ProtocolHTTPS           Protocol = "HTTPS"
	ProtocolTCP             Protocol = "TCP"
	ProtocolTerminatedHTTPS Protocol = "TERMINATED_HTTPS"
	ProtocolUDP             Protocol = "UDP"
	ProtocolSCTP            Protocol = "SCTP"
	ProtocolPrometheus      Protocol = "PROMETHEUS"
	ProtocolProxy           Protocol = "PROXY"
	ProtocolProxyV2         Protocol = "PROXYV2"
)

// L4 returns the transport: TCP, UDP or SCTP. Ports of listeners are unique per
// transport (contract §4.2).
func (p Protocol) L4() Protocol {
	if p == ProtocolUDP || p == ProtocolSCTP {
		return p
	}
	return ProtocolTCP
}

// ClientAuth says whether clients of a TLS listener show a certificate.
type ClientAuth string

// The values of client_authentication.
const (
	ClientAuthNone      ClientAuth = "NONE"
	ClientAuthOptional  ClientAuth = "OPTIONAL"
	ClientAuthMandatory ClientAuth = "MANDATORY"
)

// Listener is a listener of a load balancer.
type Listener struct {
	Base
	LoadBalancerID string   `json:"loadbalancer_id"`
	Protocol       Protocol `json:"protocol"`
	ProtocolPort   int      `json:"protocol_port"`
	// ConnectionLimit is -1 for none.
	ConnectionLimit        int               `json:"connection_limit"`
	DefaultPoolID          string            `json:"default_pool_id,omitempty"`
	DefaultTLSContainerRef string            `json:"default_tls_container_ref,omitempty"`
	SNIContainerRefs       []string          `json:"sni_container_refs,omitempty"`
	ClientCATLSRef         string            `json:"client_ca_tls_container_ref,omitempty"`
	ClientCRLRef           string            `json:"client_crl_container_ref,omitempty"`
	ClientAuthentication   ClientAuth        `json:"client_authentication,omitempty"`
	InsertHeaders          map[string]string `json:"insert_headers,omitempty"`
	// The timeouts are in milliseconds.
	TimeoutClientData    int      `json:"timeout_client_data"`
	TimeoutMemberConnect int      `json:"timeout_member_connect"`
	TimeoutMemberData    int      `json:"timeout_member_data"`
	TimeoutTCPInspect    int      `json:"timeout_tcp_inspect"`
	AllowedCIDRs         []string `json:"allowed_cidrs,omitempty"`
	// TLSCiphers, TLSVersions and ALPNProtocols are null (empty) unless the
	// listener terminates TLS.
	TLSCiphers            string   `json:"tls_ciphers,omitempty"`
	TLSVersions           []string `json:"tls_versions,omitempty"`
	ALPNProtocols         []string `json:"alpn_protocols,omitempty"`
	HSTSMaxAge            *int     `json:"hsts_max_age,omitempty"`
	HSTSIncludeSubdomains bool     `json:"hsts_include_subdomains,omitempty"`
	HSTSPreload           bool     `json:"hsts_preload,omitempty"`
}

// Kind returns KindListener.
func (*Listener) Kind() Kind { return KindListener }

// Clone copies deeply.
func (l *Listener) Clone() *Listener {
	c := *l
	c.Tags, c.SNIContainerRefs, c.AllowedCIDRs = slices.Clone(l.Tags), slices.Clone(l.SNIContainerRefs), slices.Clone(l.AllowedCIDRs)
	c.TLSVersions, c.ALPNProtocols = slices.Clone(l.TLSVersions), slices.Clone(l.ALPNProtocols)
	c.InsertHeaders, c.HSTSMaxAge = maps.Clone(l.InsertHeaders), clonePtr(l.HSTSMaxAge)
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
