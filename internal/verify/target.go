package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// atOnce bounds how many endpoints one check looks at at the same time.
const atOnce = 16

// resolve returns what target stands for: something the cloud knows, an
// address, or a DNS name with a dot in it.
func resolve(field, target, network string, lookup Lookup) ([]Endpoint, error) {
	if found := lookup(target, network); len(found) > 0 {
		return found, nil
	}
	if _, err := netip.ParseAddr(target); err == nil {
		return []Endpoint{{Name: target, Addr: target}}, nil
	}
	if network != "" {
		return nil, resource.Fieldf(field, "name a host, group, role or VIP on that network", "%q has no address on network %q", target, network)
	}
	if strings.Contains(target, ".") {
		return []Endpoint{{Name: target, Addr: target}}, nil
	}
	return nil, resource.Fieldf(field, "name one of them, or give an address",
		"%q is no host, group, role or VIP of the cloud", target)
}

// validTarget checks what can be known of a target without the cloud.
func validTarget(field, target string) error {
	if target == "" {
		return resource.Fieldf(field, "name a host, group, role, VIP or address", "is required")
	}
	if strings.ContainsAny(target, " \t\r\n/") {
		return resource.Fieldf(field, "name a host, group, role, VIP or address", "%q is not a name or an address", target)
	}
	return nil
}

func validPort(field string, port int) error {
	if port < 1 || port > 65535 {
		return resource.Fieldf(field, "use a port from 1 to 65535", "%d is not a port", port)
	}
	return nil
}

func hostPort(addr string, port int) string { return net.JoinHostPort(addr, strconv.Itoa(port)) }

// each calls look for every endpoint, several at once, and gathers what they
// return in order. Failures are told in one; another error wins over them.
func each[T any](ctx context.Context, targets []Endpoint, look func(context.Context, Endpoint) (T, error)) ([]T, error) {
	out, errs := make([]T, len(targets)), make([]error, len(targets))
	if len(targets) == 0 {
		return out, errors.New("the check was not resolved: it has no target")
	}
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, t := range targets {
		g.Go(func() error {
			out[i], errs[i] = look(ctx, t)
			return nil
		})
	}
	_ = g.Wait() // the functions keep their errors in errs
	return out, joinFailures(errs)
}

// joinFailures tells the first three failures and the number of the others.
func joinFailures(errs []error) error {
	const most = 3
	var reasons []string
	for _, err := range errs {
		var f *Failure
		switch {
		case err == nil:
		case errors.As(err, &f):
			reasons = append(reasons, f.Reason)
		default:
			return err
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	if n := len(reasons) - most; n > 0 {
		reasons = append(reasons[:most], fmt.Sprintf("and %d more", n))
	}
	return &Failure{Reason: strings.Join(reasons, "; ")}
}

// plain renders an error for people: what happened, without the layers of net
// and syscall around it.
func plain(err error) string {
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case errors.As(err, &dns):
		return dns.Err
	case errors.As(err, &op) && op.Err != nil:
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	default:
		return err.Error()
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
