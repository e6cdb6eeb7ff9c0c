package model

import "time"

// AmphoraStatus says what an amphora is doing (contract §4.10).
type AmphoraStatus string

// The statuses of amphorae.
const (
	AmphoraBooting         AmphoraStatus = "BOOTING"
	AmphoraAllocated       AmphoraStatus = "ALLOCATED"
	AmphoraReady           AmphoraStatus = "READY"
	AmphoraPendingCreate   AmphoraStatus = "PENDING_CREATE"
	AmphoraPendingDelete   AmphoraStatus = "PENDING_DELETE"
	AmphoraDeleted         AmphoraStatus = "DELETED"
	AmphoraError           AmphoraStatus = "ERROR"
	AmphoraFailoverStopped AmphoraStatus = "FAILOVER_STOPPED"
)

// Roles of an amphora and the VRRP priorities that go with them.
const (
	RoleStandalone = "STANDALONE"
	RoleMaster     = "MASTER"
	RoleBackup     = "BACKUP"

	PriorityMaster = 100
	PriorityBackup = 90
)

// Amphora is an instance that carries a load balancer's traffic.
type Amphora struct {
	ID             string        `json:"id"`
	LoadBalancerID string        `json:"loadbalancer_id"`
	ComputeID      string        `json:"compute_id,omitempty"`
	LBNetworkIP    string        `json:"lb_network_ip,omitempty"`
	VRRPIP         string        `json:"vrrp_ip,omitempty"`
	HAIP           string        `json:"ha_ip,omitempty"`
	VRRPPortID     string        `json:"vrrp_port_id,omitempty"`
	HAPortID       string        `json:"ha_port_id,omitempty"`
	CertExpiration time.Time     `json:"cert_expiration,omitzero"`
	CertBusy       bool          `json:"cert_busy,omitempty"`
	Role           string        `json:"role,omitempty"`
	Status         AmphoraStatus `json:"status"`
	VRRPInterface  string        `json:"vrrp_interface,omitempty"`
	VRRPID         int           `json:"vrrp_id,omitempty"`
	VRRPPriority   int           `json:"vrrp_priority,omitempty"`
	CachedZone     string        `json:"cached_zone,omitempty"`
	ImageID        string        `json:"image_id,omitempty"`
	ComputeFlavor  string        `json:"compute_flavor,omitempty"`
	CreatedAt      time.Time     `json:"created_at,omitzero"`
	UpdatedAt      time.Time     `json:"updated_at,omitzero"`

	// What follows is the controllers' own and not in the API.

	// Reason says why the status is ERROR.
	Reason string `json:"reason,omitempty"`
	// Endpoint is where the agent answers, host:port.
	Endpoint string `json:"endpoint,omitempty"`
	// Applied is the version of the configuration that the agent carries.
	Applied string `json:"applied,omitempty"`
	// Replaces is the amphora that this one takes the place of.
	Replaces string `json:"replaces,omitempty"`
	// CertSerial is the serial number of the agent's certificate.
	CertSerial string `json:"cert_serial,omitempty"`
	// CertGeneration is the phase of the agents' authority that the agent has
	// heard of.
	CertGeneration int `json:"cert_generation,omitempty"`
	// KeyVersion numbers the key that authenticates its heartbeats.
	KeyVersion int `json:"key_version,omitempty"`
	// ConfigPush counts requests to push the agent's configuration (PUT …/config).
	ConfigPush int `json:"config_push,omitempty"`
}

// Clone copies deeply.
func (a *Amphora) Clone() *Amphora { c := *a; return &c }

// Flavor is a choice that the operator offers.
type Flavor struct {
	ID              string `json:"id"`
	Name            string `json:"name"`
	Description     string `json:"description,omitempty"`
	Enabled         bool   `json:"enabled,omitempty"`
	FlavorProfileID string `json:"flavor_profile_id"`
}

// FlavorProfile is what a flavor means to a provider; FlavorData is JSON.
type FlavorProfile struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	ProviderName string `json:"provider_name"`
	FlavorData   string `json:"flavor_data"`
}

// AvailabilityZone is keyed by its name.
type AvailabilityZone struct {
	Name                      string `json:"name"`
	Description               string `json:"description,omitempty"`
	Enabled                   bool   `json:"enabled,omitempty"`
	AvailabilityZoneProfileID string `json:"availability_zone_profile_id"`
}

// AvailabilityZoneProfile is what a zone means to a provider; its data is JSON.
type AvailabilityZoneProfile struct {
	ID                   string `json:"id"`
	Name                 string `json:"name"`
	ProviderName         string `json:"provider_name"`
	AvailabilityZoneData string `json:"availability_zone_data"`
}

// Stats are the counters of a listener (contract §4.11).
type Stats struct {
	BytesIn           int64 `json:"bytes_in"`
	BytesOut          int64 `json:"bytes_out"`
	ActiveConnections int64 `json:"active_connections"`
	TotalConnections  int64 `json:"total_connections"`
	RequestErrors     int64 `json:"request_errors"`
}

// Add returns the sum.
func (s Stats) Add(o Stats) Stats {
	return Stats{
		s.BytesIn + o.BytesIn, s.BytesOut + o.BytesOut, s.ActiveConnections + o.ActiveConnections,
		s.TotalConnections + o.TotalConnections, s.RequestErrors + o.RequestErrors,
	}
}

// AmphoraStats are the counters that an amphora reported, by listener.
type AmphoraStats struct {
	LoadBalancerID string           `json:"loadbalancer_id"`
	AmphoraID      string           `json:"amphora_id"`
	ReportedAt     time.Time        `json:"reported_at,omitzero"`
	Listeners      map[string]Stats `json:"listeners,omitempty"`
}
