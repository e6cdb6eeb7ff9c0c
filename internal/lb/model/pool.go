package model

import "slices"

// Algorithm is a way to choose a member.
type Algorithm string

// The algorithms.
const (
	RoundRobin       Algorithm = "ROUND_ROBIN"
	LeastConnections Algorithm = "LEAST_CONNECTIONS"
	SourceIP         Algorithm = "SOURCE_IP"
	SourceIPPort     Algorithm = "SOURCE_IP_PORT"
)

// Types of session persistence.
const (
	PersistSourceIP   = "SOURCE_IP"
	PersistHTTPCookie = "HTTP_COOKIE"
	PersistAppCookie  = "APP_COOKIE"
)

// SessionPersistence keeps a client with its member.
type SessionPersistence struct {
	Type        string `json:"type"`
	CookieName  string `json:"cookie_name,omitempty"`
	Timeout     *int   `json:"persistence_timeout,omitempty"` // seconds
	Granularity string `json:"persistence_granularity,omitempty"`
}

// Pool is a set of members.
type Pool struct {
	Base
	LoadBalancerID     string              `json:"loadbalancer_id"`
	Protocol           Protocol            `json:"protocol"`
	LBAlgorithm        Algorithm           `json:"lb_algorithm"`
	SessionPersistence *SessionPersistence `json:"session_persistence,omitempty"`
	TLSEnabled         bool                `json:"tls_enabled,omitempty"`
	TLSContainerRef    string              `json:"tls_container_ref,omitempty"`
	CATLSContainerRef  string              `json:"ca_tls_container_ref,omitempty"`
	CRLContainerRef    string              `json:"crl_container_ref,omitempty"`
	TLSCiphers         string              `json:"tls_ciphers,omitempty"`
	TLSVersions        []string            `json:"tls_versions,omitempty"`
	ALPNProtocols      []string            `json:"alpn_protocols,omitempty"`
}

// Kind returns KindPool.
func (*Pool) Kind() Kind { return KindPool }

// Clone copies deeply.
func (p *Pool) Clone() *Pool {
	c := *p
	c.Tags, c.TLSVersions, c.ALPNProtocols = slices.Clone(p.Tags), slices.Clone(p.TLSVersions), slices.Clone(p.ALPNProtocols)
	if s := clonePtr(p.SessionPersistence); s != nil {
		s.Timeout = clonePtr(s.Timeout)
		c.SessionPersistence = s
	}
	return &c
}

// Member is a server of a pool.
type Member struct {
	Base
	LoadBalancerID string `json:"loadbalancer_id"`
	PoolID         string `json:"pool_id"`
	Address        string `json:"address"`
	ProtocolPort   int    `json:"protocol_port"`
	// Weight 0 drains: no new connections.
	Weight         int    `json:"weight"`
	Backup         bool   `json:"backup,omitempty"`
	SubnetID       string `json:"subnet_id,omitempty"`
	MonitorAddress string `json:"monitor_address,omitempty"`
	MonitorPort    int    `json:"monitor_port,omitempty"` // 0 is null
	VNICType       string `json:"vnic_type,omitempty"`    // normal (when empty) or direct
}

// Kind returns KindMember.
func (*Member) Kind() Kind { return KindMember }

// Clone copies deeply.
func (m *Member) Clone() *Member {
	c := *m
	c.Tags = slices.Clone(m.Tags)
	return &c
}

// Types of health monitors.
const (
	MonitorHTTP       = "HTTP"
	MonitorHTTPS      = "HTTPS"
	MonitorPing       = "PING"
	MonitorTCP        = "TCP"
	MonitorTLSHello   = "TLS-HELLO"
	MonitorUDPConnect = "UDP-CONNECT"
	MonitorSCTP       = "SCTP"
)

// HealthMonitor checks the members of a pool, which has at most one.
type HealthMonitor struct {
	Base
	LoadBalancerID string `json:"loadbalancer_id"`
	PoolID         string `json:"pool_id"`
	Type           string `json:"type"`
	// Delay and Timeout are in seconds.
	Delay          int    `json:"delay"`
	Timeout        int    `json:"timeout"`
	MaxRetries     int    `json:"max_retries"`
	MaxRetriesDown int    `json:"max_retries_down"`
	HTTPMethod     string `json:"http_method,omitempty"`
	URLPath        string `json:"url_path,omitempty"`
	ExpectedCodes  string `json:"expected_codes,omitempty"`
	HTTPVersion    string `json:"http_version,omitempty"` // "1.0", "1.1" or null
	DomainName     string `json:"domain_name,omitempty"`
}

// Kind returns KindHealthMonitor.
func (*HealthMonitor) Kind() Kind { return KindHealthMonitor }

// Clone copies deeply.
func (h *HealthMonitor) Clone() *HealthMonitor {
	c := *h
	c.Tags = slices.Clone(h.Tags)
	return &c
}
