package compile

import (
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// checks decodes the declared checks and resolves whom they look at and from
// where.
func (c *compiler) checks() []Check {
	kinds := map[string]verify.Kind{}
	known := verify.Kinds()
	if c.OpenStack != nil {
		known = slices.Concat(known, c.OpenStack.Checks)
	}
	for _, k := range known {
		kinds[k.Name] = k
	}
	var out []Check
	for _, ck := range c.Cloud.Checks {
		kind, ok := kinds[ck.Kind]
		if !ok {
			names := slices.Sorted(maps.Keys(kinds))
			c.diags.Errorf(ck.Pos, ck.Path, "known are "+strings.Join(names, ", "), "there is no check kind %q", ck.Kind)
			continue
		}
		if check, ok := c.check(ck, kind); ok {
			out = append(out, check)
		}
	}
	return out
}

func (c *compiler) check(ck spec.Check, kind verify.Kind) (Check, bool) {
	run := kind.New()
	before := len(c.diags)
	ck.Body.Decode(run, ck.Path+"."+ck.Kind, &c.diags)
	it := &item{path: ck.Path, pos: ck.Pos}
	if len(c.diags) == before {
		if err := run.Validate(); err != nil {
			c.fault(it, ck.Kind, err, ck.Body.PosOf)
		} else if err := run.Resolve(c.lookup); err != nil {
			c.fault(it, ck.Kind, err, ck.Body.PosOf)
		}
	}
	out := Check{Check: ck, Run: run}
	if ck.From != "" && ck.From != "deployer" {
		for _, h := range c.Cloud.Select(ck.From) {
			out.From = append(out.From, h.Name)
		}
		if len(out.From) == 0 {
			c.diags.Errorf(ck.Pos, ck.Path+".from", "name a host, a group, a role, or deployer", "there is no %q to check from", ck.From)
		}
	}
	return out, !c.diags[before:].HasErrors()
}

// lookup resolves a name of the cloud for a check.
func (c *compiler) lookup(name, network string) []verify.Endpoint {
	if v := c.Cloud.VIP(name); v != nil {
		return []verify.Endpoint{{Name: name, Addr: v.Address.String()}}
	}
	var out []verify.Endpoint
	for _, h := range c.Cloud.Select(name) {
		on := network
		if on == "" && len(h.NICs) > 0 {
			on = h.NICs[0].Network
		}
		addr := h.Address
		if a := h.AddressOn(on); a.IsValid() {
			addr = a.String()
		}
		if addr != "" {
			out = append(out, verify.Endpoint{Name: h.Name, Addr: addr})
		}
	}
	return out
}
