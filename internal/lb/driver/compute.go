package driver

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Compute runs amphorae.
type Compute interface {
	// Ensure makes the instance be there, with the interfaces that are wanted and
	// no others, and its agent started. It may return before the agent answers.
	// An instance that stopped is returned as such and not started again: another
	// replaces it.
	Ensure(ctx context.Context, want Spec) (*Instance, error)
	// Remove ends the instance and everything that it has. It returns when
	// nothing of it runs any longer, so that none of its addresses answers.
	Remove(ctx context.Context, amphoraID string) error
	// List returns all instances that this service made.
	List(ctx context.Context) ([]Instance, error)
	// Manage returns the way to the agents: how to call them, and where they can
	// reach this controller.
	Manage() Management
}

// Light is implemented by a Compute whose instances need no more than a record:
// then the record is written once, when it is complete, because there is nothing
// that could be left behind.
type Light interface{ Light() }

// Management is the network between controllers and agents.
type Management interface {
	// DialContext connects to an address of an agent.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// ListenPacket listens for heartbeats, and returns the address that agents
	// shall send them to.
	ListenPacket(ctx context.Context) (conn net.PacketConn, address string, err error)
}

// Spec is an instance as it shall be.
type Spec struct {
	AmphoraID, LoadBalancerID string
	Flavor, Image, Zone       string // "" is the driver's default
	Interfaces                []Interface
	// Boot makes what the agent needs to be spoken to. It is asked once, when the
	// agent is started: the certificate is new each time.
	Boot func() (Boot, error)
}

// Interface is a place of an instance on a network.
type Interface struct {
	Port    Port
	Subnets []Subnet // of the port's addresses, in their order
}

// Boot is the identity of an agent and whom it trusts.
type Boot struct {
	AmphoraID string
	// Certificate and Key are the agent's, AuthorityBundle is who may call it:
	// PEM.
	Certificate, Key, Authority string
	// HeartbeatKey authenticates what it sends to the addresses in Receivers.
	HeartbeatKey      []byte
	Receivers         []string
	HeartbeatInterval time.Duration
}

// State is what is known of an instance without asking its agent.
type State string

// The states of instances.
const (
	Booting State = "BOOTING" // made, and perhaps not yet there
	Running State = "RUNNING"
	Stopped State = "STOPPED" // it will not come back by itself
)

// Instance is what runs an amphora.
type Instance struct {
	AmphoraID, LoadBalancerID string
	ComputeID                 string // of the driver's own
	State                     State
	Address                   netip.Addr // of its agent, on the management network
	Zone, Image, Flavor       string
	Created                   time.Time // zero: not known
}

// AgentPort is where agents listen.
const AgentPort = 9443

// VIPInterface is the name, inside an instance, of the first of its interfaces:
// the one that is on the VIP's network.
const VIPInterface = "eth0"
