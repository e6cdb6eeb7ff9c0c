package driver

import (
	"context"
	"net/netip"
	"time"
)

// Network gives load balancers their addresses.
//
// The lookups answer ErrNotFound for what does not exist. The API resolves which
// network and subnet a VIP is on by them (VIP rules of the contract, §4.1) and
// then calls EnsureVIP before it commits the load balancer; a call that was cut
// off, or whose load balancer was not committed, leaves a port that Ports shows
// and a controller removes.
type Network interface {
	Network(ctx context.Context, id string) (*Net, error)
	Subnet(ctx context.Context, id string) (*Subnet, error)
	Port(ctx context.Context, id string) (*Port, error)
	// QoSPolicy reports whether the policy exists: ErrNotFound if not,
	// ErrUnsupported where the network has no QoS.
	QoSPolicy(ctx context.Context, id string) error
	// SecurityGroup reports whether the group exists.
	SecurityGroup(ctx context.Context, id string) error

	// EnsureVIP reserves the addresses of a load balancer. For the same load
	// balancer and the same wishes it always gives the same answer. An address
	// that belongs to somebody else is ErrInUse, a full subnet ErrExhausted. A
	// port that the user gave is used as it is and never removed.
	EnsureVIP(ctx context.Context, want VIPRequest) (*VIP, error)
	// ReleaseVIP gives back what EnsureVIP reserved for the load balancer,
	// whichever addresses that were. A port of the user stays, without our marks.
	ReleaseVIP(ctx context.Context, vip VIP) error

	// EnsurePort makes the port by which an amphora stands on a network.
	EnsurePort(ctx context.Context, want PortRequest) (*Port, error)
	// RemovePort removes a port that EnsurePort made.
	RemovePort(ctx context.Context, id string) error
	// Ports lists the ports that this service made, for one load balancer or, for
	// "", for all: what no record names any longer is removed by a controller.
	Ports(ctx context.Context, loadBalancerID string) ([]Port, error)
}

// Net is a network.
type Net struct {
	ID, Name, ProjectID string
	Subnets             []string // ids
	MTU                 int      // 0: not known
	QoSPolicyID         string
	Shared, External    bool
}

// Subnet is a range of addresses on a network.
type Subnet struct {
	ID, Name, NetworkID, ProjectID string
	Prefix                         netip.Prefix
	Gateway                        netip.Addr // not valid: none
	Routes                         []Route
	// Free is how many addresses can still be had, or -1 if that is not known.
	Free int
}

// Route is a way to a destination by a next hop on the subnet.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID string
	Address  netip.Addr
}

// Port is a place on a network.
type Port struct {
	ID, Name, NetworkID, ProjectID string
	// DeviceID is empty on a port that nobody uses.
	DeviceID, DeviceOwner string
	FixedIPs              []FixedIP
	MAC                   string
	QoSPolicyID           string
	SecurityGroupIDs      []string

	// LoadBalancerID and AmphoraID say for whom this service made it; AmphoraID
	// is empty on the port of a VIP.
	LoadBalancerID, AmphoraID string
	Created                   time.Time // zero: not known
	// Binding is where an instance on this computer is plugged in, nil where that
	// is not up to us.
	Binding *Binding
}

// Binding is a bridge in a network namespace.
type Binding struct {
	Namespace string // "" is the one that the service runs in
	Bridge    string
	MTU       int
}

// VIPRequest is what a load balancer's addresses shall be. NetworkID and
// SubnetID are resolved already; Address may be left to the network.
type VIPRequest struct {
	LoadBalancerID, ProjectID    string
	PortID                       string // of the user; "" to make one
	NetworkID, SubnetID, Address string
	QoSPolicyID                  string
	SecurityGroupIDs             []string
	// AllowedCIDRs and ListenerPorts are not here: amphorae filter by themselves.
	Additional []AdditionalVIP
}

// AdditionalVIP is one more address of a load balancer, on the same network.
type AdditionalVIP struct{ SubnetID, Address, PortID string }

// VIP is what was reserved. Every address is set.
type VIP struct {
	LoadBalancerID                       string
	PortID, NetworkID, SubnetID, Address string
	Additional                           []AdditionalVIP
	// Given means that the port is the user's.
	Given bool
}

// PortRequest is a port for an amphora: one for each pair of amphora and network.
type PortRequest struct {
	LoadBalancerID, AmphoraID, ProjectID string
	NetworkID                            string
	// Subnets are those of which the port shall have an address each. If empty,
	// the network chooses one.
	Subnets []string
	// Allowed are addresses that the port may use beside its own: the VIPs.
	Allowed          []netip.Addr
	SecurityGroupIDs []string
	QoSPolicyID      string
}
