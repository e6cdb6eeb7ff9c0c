// Package static is the provider of machines that exist already and are reached
// by address. It makes nothing and removes nothing: images are never needed,
// networks are as the machines have them, and a machine is there when the TCP
// port of its ssh server accepts a connection.
package static

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// probeTimeout bounds one TCP connection. A host on another continent answers
// in 0.3 s; a lost SYN is sent again after 1 and 3 s.
const probeTimeout = 5 * time.Second

// Provider is the provider. It is safe for concurrent use.
type Provider struct {
	mu    sync.Mutex
	known map[string]map[string]bool // machines seen by this process, for List
}

var (
	_ machine.Provider = (*Provider)(nil)
	_ machine.Borrower = (*Provider)(nil)
)

// New returns the provider.
func New() *Provider { return &Provider{known: map[string]map[string]bool{}} }

// Borrows says that the machines outlive the cloud.
func (p *Provider) Borrows() bool { return true }

// Name returns "static".
func (p *Provider) Name() string { return "static" }

// Check reports machines that cannot be reached by what is written of them.
func (p *Provider) Check(_ context.Context, t machine.Topology) diag.List {
	var out diag.List
	for _, m := range t.Machines {
		path := "hosts." + m.Name
		if address(m) == "" {
			out.Errorf(diag.Pos{}, path+".address", "give the host an address", "machine %s has no address", m.Name)
		}
		if _, err := jump(m.Access); err != nil {
			out.Errorf(diag.Pos{}, path+".access.jump", "write it as [user@]host[:port]", "machine %s: %v", m.Name, err)
		}
		if m.CPUs > 0 || m.Memory > 0 || m.Disk > 0 {
			out.Warnf(diag.Pos{}, path, "", "machine %s exists already: its limits are not set", m.Name)
		}
	}
	return out
}

// Images returns none.
func (p *Provider) Images(machine.Topology) []machine.Image { return nil }

// inSync is the report of what is taken as it is.
func inSync() drift.Report { return drift.Report{Status: drift.InSync} }

// ObserveImage finds every image in place: none is needed.
func (p *Provider) ObserveImage(context.Context, machine.Image) (drift.Report, error) {
	return inSync(), nil
}

// EnsureImage does nothing.
func (p *Provider) EnsureImage(context.Context, machine.Image, machine.Log) error { return nil }

// ObserveNetwork finds every network in place.
func (p *Provider) ObserveNetwork(context.Context, string, machine.Network) (drift.Report, error) {
	return inSync(), nil
}

// EnsureNetwork does nothing.
func (p *Provider) EnsureNetwork(context.Context, string, machine.Network, machine.Log) error {
	return nil
}

// RemoveNetwork does nothing.
func (p *Provider) RemoveNetwork(context.Context, string, string) error { return nil }

// ObserveMachine finds the machine in place if its ssh port accepts a connection.
// One behind a jump host is taken to be there: only ssh can tell.
func (p *Provider) ObserveMachine(ctx context.Context, m machine.Machine) (drift.Report, error) {
	if err := probe(ctx, m); err != nil {
		return drift.Report{}, err
	}
	p.remember(m)
	return inSync(), nil
}

// EnsureMachine makes nothing; a machine that does not answer is an error of
// class Unreachable.
func (p *Provider) EnsureMachine(ctx context.Context, m machine.Machine, _ machine.Log) error {
	_, err := p.ObserveMachine(ctx, m)
	return err
}

func probe(ctx context.Context, m machine.Machine) error {
	if m.Access.Jump != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	addr := net.JoinHostPort(address(m), strconv.Itoa(port(m.Access.Port)))
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return retry.Mark(fmt.Errorf("cannot reach machine %s: %w", m.Name, err), retry.Unreachable)
	}
	return conn.Close()
}

// address is where the machine is reached: as its access says, else at its
// first address.
func address(m machine.Machine) string {
	if m.Access.Address != "" {
		return m.Access.Address
	}
	if len(m.NICs) > 0 && m.NICs[0].Address.IsValid() {
		return m.NICs[0].Address.Addr().String()
	}
	return ""
}

func port(n int) int {
	if n == 0 {
		return 22
	}
	return n
}

// RemoveMachine leaves the machine where it is.
func (p *Provider) RemoveMachine(_ context.Context, cloud, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known[cloud], name)
	return nil
}

// RemoveAll leaves everything where it is.
func (p *Provider) RemoveAll(_ context.Context, cloud string, _ machine.Log) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, cloud)
	return nil
}

func (p *Provider) remember(m machine.Machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[m.Cloud] == nil {
		p.known[m.Cloud] = map[string]bool{}
	}
	p.known[m.Cloud][m.Name] = true
}

// List returns the machines that this process has reached. Nobody else keeps
// account of machines that updraft did not make.
func (p *Provider) List(_ context.Context, cloud string) (machine.Inventory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var inv machine.Inventory
	for name := range p.known[cloud] {
		inv.Machines = append(inv.Machines, machine.Status{Name: name, Running: true})
	}
	slices.SortFunc(inv.Machines, func(a, b machine.Status) int { return strings.Compare(a.Name, b.Name) })
	return inv, nil
}

// Target says how to reach the machine. Its host key is accepted when it is seen
// for the first time, and never changes after that.
func (p *Provider) Target(_ context.Context, m machine.Machine) (transport.Target, error) {
	via, err := jump(m.Access)
	if err != nil {
		return transport.Target{}, fmt.Errorf("cannot reach machine %s: %w", m.Name, err)
	}
	addr := address(m)
	if addr == "" {
		return transport.Target{}, fmt.Errorf("cannot reach machine %s: it has no address", m.Name)
	}
	t := transport.Target{
		Name: m.Name, Address: addr, Port: m.Access.Port, User: m.Access.User,
		KnownHosts: m.Access.KnownHosts, AcceptNew: true, Jump: via,
	}
	if m.Access.Identity != "" {
		t.Identities = []string{m.Access.Identity}
	}
	return t, nil
}

// jump reads [user@]host[:port]; nil when there is none. An IPv6 address with a
// port stands in brackets.
func jump(a machine.Access) (*transport.Target, error) {
	if a.Jump == "" {
		return nil, nil
	}
	user, rest := a.User, a.Jump
	if u, r, ok := strings.Cut(rest, "@"); ok {
		user, rest = u, r
	}
	host, portText, err := net.SplitHostPort(rest)
	if err != nil {
		host, portText = strings.Trim(rest, "[]"), "22"
		if _, err := netip.ParseAddr(host); err != nil && strings.Contains(host, ":") {
			return nil, fmt.Errorf("jump host %q is not [user@]host[:port]", a.Jump)
		}
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || n == 0 || host == "" || user == "" && strings.Contains(a.Jump, "@") {
		return nil, errors.New("jump host " + strconv.Quote(a.Jump) + " is not [user@]host[:port]")
	}
	t := &transport.Target{Name: "jump host " + host, Address: host, Port: int(n), User: user, KnownHosts: a.KnownHosts, AcceptNew: true}
	if a.Identity != "" {
		t.Identities = []string{a.Identity}
	}
	return t, nil
}
