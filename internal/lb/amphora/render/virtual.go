package render

import (
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// virtual renders a UDP or SCTP listener.
func (w *work) virtual(l *model.Listener) (amphora.Virtual, error) {
	v := amphora.Virtual{Listener: l.ID, Protocol: strings.ToLower(string(l.Protocol)), Port: uint16(l.ProtocolPort), Limit: max(l.ConnectionLimit, 0)}
	for _, vip := range w.place.VIPs {
		v.Addresses = append(v.Addresses, vip.Address)
	}
	for _, cidr := range l.AllowedCIDRs {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return v, err
		}
		v.Allowed = append(v.Allowed, p.Masked())
	}
	pool := w.pools[l.DefaultPoolID]
	if pool == nil {
		return v, nil
	}
	v.Pool, v.Algorithm = pool.ID, string(pool.LBAlgorithm)
	v.Check = check(w.monitors[pool.ID])
	if err := persist(&v, pool.SessionPersistence); err != nil {
		return v, err
	}
	for _, m := range w.members[pool.ID] {
		at, err := memberAddress(m)
		if err != nil {
			return v, named("member", m.ID, err)
		}
		v.Targets = append(v.Targets, amphora.Target{
			Member: m.ID, Address: at, Weight: m.Weight, Backup: m.Backup, Disabled: !m.AdminStateUp, Monitor: monitorAddress(m, at),
		})
	}
	return v, nil
}

// defaultPersist is that of LVS, in seconds.
const defaultPersist = 360

func persist(v *amphora.Virtual, s *model.SessionPersistence) error {
	if s == nil || s.Type != model.PersistSourceIP {
		return nil
	}
	v.Persist = defaultPersist
	if s.Timeout != nil && *s.Timeout > 0 {
		v.Persist = *s.Timeout
	}
	if s.Granularity == "" {
		return nil
	}
	mask, err := netip.ParseAddr(s.Granularity)
	v.Granularity = mask
	return err
}
