package amphora

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Validate reports everything that an agent could not use, or that could make it
// touch what is not its own.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !name(c.Amphora) {
		bad("cannot use amphora id %q", c.Amphora)
	}
	for _, v := range c.VIPs {
		if !plainAddress(v.Address) || v.Bits < 0 || v.Bits > v.Address.BitLen() || !interfaceName(v.Interface) {
			bad("cannot use VIP %v/%d on interface %q", v.Address, v.Bits, v.Interface)
		}
	}
	for _, f := range c.Files {
		if !name(f.Name) || strings.Contains(f.Name, ":") {
			bad("cannot use file name %q", f.Name)
		}
	}
	errs = append(errs, c.HAProxy.validate())
	for _, v := range c.Virtuals {
		errs = append(errs, v.validate())
	}
	for _, p := range c.Probes {
		if !name(p.Backend) || !name(p.Server) || !p.Monitor.IsValid() {
			bad("cannot use the probe of %q in %q", p.Server, p.Backend)
		}
		errs = append(errs, p.Check.validate())
	}
	return errors.Join(errs...)
}

// interfaceName is the kernel's rule (dev_valid_name), without what a rule of
// nftables would have to quote.
func interfaceName(s string) bool { return name(s) && len(s) < 16 && !strings.Contains(s, ":") }

func (h *HAProxy) validate() error {
	if h == nil {
		return nil
	}
	var errs []error
	for _, b := range h.Backends {
		if !name(b.Name) {
			errs = append(errs, fmt.Errorf("cannot use backend name %q", b.Name))
		}
		for _, s := range b.Servers {
			errs = append(errs, s.validate(b.Name))
		}
	}
	return errors.Join(errs...)
}

func (s Server) validate(backend string) error {
	if !name(s.Name) || !s.Address.IsValid() || s.Address.Addr().Zone() != "" {
		return fmt.Errorf("cannot use server %q at %v of %s", s.Name, s.Address, backend)
	}
	if s.Weight < 0 || s.Weight > 256 {
		return fmt.Errorf("cannot use weight %d of server %s: it must be 0 to 256", s.Weight, s.Name)
	}
	for _, w := range s.Options {
		if err := Printable("server option", w); err != nil {
			return err
		}
	}
	return nil
}

func (v Virtual) validate() error {
	what := fmt.Sprintf("virtual %q", v.Listener)
	switch {
	case !name(v.Listener) || v.Pool != "" && !name(v.Pool):
		return fmt.Errorf("cannot use the name of %s", what)
	case v.Protocol != "udp" && v.Protocol != "sctp":
		return fmt.Errorf("cannot use protocol %q of %s", v.Protocol, what)
	case v.Port == 0 || v.Limit < 0 || v.Persist < 0:
		return fmt.Errorf("cannot use port %d, limit %d or persistence %d of %s", v.Port, v.Limit, v.Persist, what)
	case v.Granularity.IsValid() && !plainAddress(v.Granularity):
		return fmt.Errorf("cannot use granularity %v of %s", v.Granularity, what)
	}
	if v.Check != nil {
		if err := v.Check.validate(); err != nil {
			return err
		}
	}
	for _, a := range v.Addresses {
		if !plainAddress(a) {
			return fmt.Errorf("cannot use address %v of %s", a, what)
		}
	}
	for _, t := range v.Targets {
		if !name(t.Member) || !plainAddress(t.Address.Addr()) || t.Address.Port() == 0 || t.Weight < 0 || t.Weight > 256 {
			return fmt.Errorf("cannot use member %q at %v with weight %d of %s", t.Member, t.Address, t.Weight, what)
		}
	}
	return nil
}

// validate refuses what would end a line of the request that the check makes.
func (c Check) validate() error {
	return errors.Join(Printable("method", c.Method), Printable("path", c.Path), Printable("host", c.Host))
}

// plainAddress reports whether there is no zone, whose name can have anything in it.
func plainAddress(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" }
