package api

import (
	"context"
	"errors"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// network is the network as the sender of the request sees it. What is reserved is
// reserved by the service itself.
func (c *call) network() driver.Network { return seenNetwork{c.s.network, c} }

// maySee asks whether the sender sees an object. Without authentication everybody
// sees everything, as where objects belong to nobody.
func (c *call) maySee(of any, kind, id string) error {
	t, ok := of.(driver.Tenancy)
	if _, everybody := c.s.auth.(auth.NoAuth); !ok || everybody {
		return nil
	}
	return t.MaySee(c.r.Context(), c.r.Header.Get("X-Auth-Token"), kind, id)
}

// lend has the sender let the service read the secrets that a request names, as far
// as it may: nobody need do that by hand (as in Octavia). The sender must be able to
// read them too: the service reads those of others, and would serve with their keys.
func (c *call) lend(refs ...string) *fault {
	var bad []string
	for _, ref := range refs {
		if ref == "" {
			continue
		}
		switch err := c.lendOne(ref); {
		case errors.Is(err, driver.ErrNotFound):
			bad = append(bad, ref)
		case err != nil:
			return driverFault(err)
		}
	}
	return notRetrieved(bad)
}

func (c *call) lendOne(ref string) error {
	if err := c.maySee(c.s.secrets, "Secret", ref); err != nil {
		return err
	}
	l, ok := c.s.secrets.(driver.Lender)
	if _, everybody := c.s.auth.(auth.NoAuth); !ok || everybody {
		return nil
	}
	return l.Lend(c.r.Context(), c.r.Header.Get("X-Auth-Token"), ref)
}

// reserved is a network by a name that none of its methods has.
type reserved = driver.Network

type seenNetwork struct {
	reserved
	c *call
}

func (n seenNetwork) maySee(kind, id string) error { return n.c.maySee(n.reserved, kind, id) }

func (n seenNetwork) Network(ctx context.Context, id string) (*driver.Net, error) {
	if err := n.maySee("Network", id); err != nil {
		return nil, err
	}
	return n.reserved.Network(ctx, id)
}

func (n seenNetwork) Subnet(ctx context.Context, id string) (*driver.Subnet, error) {
	if err := n.maySee("Subnet", id); err != nil {
		return nil, err
	}
	return n.reserved.Subnet(ctx, id)
}

func (n seenNetwork) Port(ctx context.Context, id string) (*driver.Port, error) {
	if err := n.maySee("Port", id); err != nil {
		return nil, err
	}
	return n.reserved.Port(ctx, id)
}

func (n seenNetwork) QoSPolicy(ctx context.Context, id string) error {
	if err := n.reserved.QoSPolicy(ctx, id); err != nil {
		return err // that there are none at all comes first
	}
	return n.maySee("qos_policy", id)
}

func (n seenNetwork) SecurityGroup(ctx context.Context, id string) error {
	if err := n.maySee("Security Group", id); err != nil {
		return err
	}
	return n.reserved.SecurityGroup(ctx, id)
}
