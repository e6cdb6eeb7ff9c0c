// Package machine is the contract of providers: they make, list and remove
// machines and networks. One directory per provider lies below this one; all
// pass the suite in machinetest.
package machine

import (
	"context"
	"net"
	"net/netip"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Network is a network of a cloud.
type Network struct {
	Name     string       `json:"name"`
	CIDR     netip.Prefix `json:"cidr"`
	CIDR6    netip.Prefix `json:"cidr6,omitzero"`
	MTU      int          `json:"mtu"`
	Deployer netip.Addr   `json:"deployer"` // the deploy host's own address in it
	Uplink   bool         `json:"uplink,omitempty"`
}

// NIC is one network interface of a machine.
type NIC struct {
	Name     string       `json:"name"` // as the host sees it
	Network  string       `json:"network"`
	MAC      string       `json:"mac"`
	Address  netip.Prefix `json:"address"` // with the network's length
	Address6 netip.Prefix `json:"address6,omitzero"`
	MTU      int          `json:"mtu"`
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	// Yields says that the host gives the NIC's addresses to something else once
	// it runs, such as a bridge, so that they are not looked for.
	Yields bool `json:"yields,omitempty"`
}

// Machine is a machine of a cloud. The first NIC is the one updraft reaches it by.
type Machine struct {
	Cloud string `json:"cloud"`
	Name  string `json:"name"`
	NICs  []NIC  `json:"nics"`
	// CPUs in units of one core; Memory and Disk in bytes. Zero means no limit.
	CPUs   float64 `json:"cpus,omitempty"`
	Memory int64   `json:"memory,omitempty"`
	Disk   int64   `json:"disk,omitempty"`
	Image  string  `json:"image,omitempty"` // name of an [Image] of the provider
	// Preinstall names packages that the machine is going to want. A provider
	// that builds its images puts them in; for others they come later.
	Preinstall []string `json:"preinstall,omitempty"`
	// Room is what is known to be taken on the machine, for prechecks alone.
	Room Room `json:"-"`
	// DNS are the name servers of the machine's networks. A provider that makes
	// the machine's disk writes them into its resolv.conf(5).
	DNS []netip.Addr `json:"dns,omitempty"`
	// Shares are directories of this computer that the machine sees read-only.
	// Only the lab has them.
	Shares []Share `json:"shares,omitempty"`
	// FUSE says that programs on the machine mount file systems of their own
	// (fuse(4)). A machine with a kernel of its own can do so anyway; one that
	// shares this computer's is given /dev/fuse.
	FUSE bool `json:"fuse,omitempty"`
	// Access is how updraft logs in, and what the provider is to put in place.
	Access Access `json:"access"`
	// Settings are the provider's own, already checked against its schema.
	Settings map[string]string `json:"settings,omitempty"`
}

// Room is an amount of memory and disk, in bytes.
type Room struct{ Memory, Disk int64 }

// Share is a directory of this computer and where a machine sees it.
type Share struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Access is how updraft logs in to a machine.
type Access struct {
	User       string `json:"user"`
	Port       int    `json:"port"`
	Address    string `json:"address,omitempty"`    // for hosts that exist already
	Identity   string `json:"identity"`             // path of the private key
	PublicKey  string `json:"public_key,omitempty"` // authorized_keys line that a provider installs
	KnownHosts string `json:"known_hosts"`          // path; a provider adds the keys it makes
	Jump       string `json:"jump,omitempty"`       // [user@]host[:port]
	// Agent says that the user's ssh agent may be asked for keys,
	// SudoPasswordFile where the password for sudo is read from.
	Agent            bool   `json:"agent,omitempty"`
	SudoPasswordFile string `json:"sudo_password_file,omitempty"`
}

// Image is something a provider needs once before it can make machines, such as
// a root file system. Its ID changes with its recipe.
type Image struct {
	ID       string            `json:"id"`
	Recipe   []string          `json:"recipe"` // lines for people; the ID is their digest
	Settings map[string]string `json:"settings,omitempty"`
}

// Topology is all that a cloud asks of one provider.
type Topology struct {
	Cloud    string
	Images   []Image
	Networks []Network
	Machines []Machine
}

// Inventory is what exists of a cloud.
type Inventory struct {
	Networks []string
	Machines []Status
}

// Status is the state of an existing machine.
type Status struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	PID     int    `json:"pid,omitempty"` // of its init on this computer, where there is one
}

// Log takes progress lines.
type Log func(format string, args ...any)

// Provider makes, lists and removes machines and networks.
//
// Every Ensure is idempotent and may be cut off at any point: called again, it
// finishes what is half done. Every Remove finds nothing to do when the thing is
// gone. Calls for different things may come concurrently.
type Provider interface {
	Name() string
	// Check says what the topology lacks on this computer or account (tools,
	// rights, memory, disk), all at once, before anything is made.
	Check(ctx context.Context, t Topology) diag.List
	// Images returns what must be there before the machines are made.
	Images(t Topology) []Image

	ObserveImage(ctx context.Context, i Image) (drift.Report, error)
	EnsureImage(ctx context.Context, i Image, log Log) error

	ObserveNetwork(ctx context.Context, cloud string, n Network) (drift.Report, error)
	EnsureNetwork(ctx context.Context, cloud string, n Network, log Log) error
	RemoveNetwork(ctx context.Context, cloud, name string) error

	// ObserveMachine tells whether the machine exists as described and runs.
	// What it cannot change in place it reports as a change with the attribute
	// "rebuild".
	ObserveMachine(ctx context.Context, m Machine) (drift.Report, error)
	// EnsureMachine makes the machine and starts it. It may return before the
	// machine answers: the caller connects to Target until it does.
	EnsureMachine(ctx context.Context, m Machine, log Log) error
	RemoveMachine(ctx context.Context, cloud, name string) error

	// Target says how to reach a machine.
	Target(ctx context.Context, m Machine) (transport.Target, error)
	// List returns what exists of the cloud.
	List(ctx context.Context, cloud string) (Inventory, error)
	// RemoveAll removes everything of the cloud, from any half-made state, and
	// is told again without harm. Shared caches stay.
	RemoveAll(ctx context.Context, cloud string, log Log) error
}

// Vantage is a provider whose networks can only be reached in a way of its own,
// such as from inside a network namespace.
type Vantage interface {
	// DialContext dials from the deployer's place in the cloud's networks.
	DialContext(ctx context.Context, cloud, network, addr string) (net.Conn, error)
	// Listen listens at the deployer's place in the cloud's networks.
	Listen(ctx context.Context, cloud, network, addr string) (net.Listener, error)
}

// Borrower is a provider of machines that are there before and after the cloud.
// They are not destroyed with it; what updraft made on them is removed piece by
// piece.
type Borrower interface{ Borrows() bool }

// Power is a provider that can switch machines.
type Power interface {
	Start(ctx context.Context, cloud, name string) error
	// Stop shuts the machine down in order; past the deadline of ctx, hard.
	Stop(ctx context.Context, cloud, name string) error
	// Cut takes the power away.
	Cut(ctx context.Context, cloud, name string) error
}

// Snapshots is a provider that can save and restore all machines of a cloud.
type Snapshots interface {
	Save(ctx context.Context, cloud, snapshot string, log Log) error
	Restore(ctx context.Context, cloud, snapshot string, log Log) error
	Snapshots(ctx context.Context, cloud string) ([]string, error)
	RemoveSnapshot(ctx context.Context, cloud, snapshot string) error
}
