package render

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// keepalived renders one VRRPv3 instance for all VIPs (man keepalived.conf).
// Advertisements go to the other amphora alone, because many networks carry no
// multicast. None preempts: whoever holds the VIPs keeps them until it fails.
//
// The agent writes into a file whether HAProxy runs; the instance is at fault
// while it says otherwise.
func keepalived(lb string, p Place) string {
	v := p.VRRP
	interval := v.Interval
	if interval == 0 {
		interval = DefaultInterval
	}
	family := v.Self.Address.Is4()
	var same, other, peers []string
	for _, vip := range p.VIPs {
		line := fmt.Sprintf("        %s dev %s\n", vip.Prefix(), vip.Interface)
		if vip.Address.Is4() == family {
			same = append(same, line)
		} else {
			other = append(other, line)
		}
	}
	if len(same) == 0 {
		same, other = other, nil
	}
	for _, o := range v.Others {
		peers = append(peers, "        "+o.Address.String()+"\n")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n    router_id %s\n    vrrp_version 3\n    vrrp_garp_master_refresh 30\n    vrrp_garp_master_delay 1\n}\n\n", p.AmphoraID)
	fmt.Fprintf(&b, "track_file haproxy {\n    file %q\n    weight 0\n    init_file 0\n}\n\n", amphora.DirMark+"/fault")
	fmt.Fprintf(&b, "vrrp_instance %s {\n    state BACKUP\n    nopreempt\n    interface %s\n    virtual_router_id %d\n    priority %d\n    advert_int %.2f\n",
		lb, v.Interface, v.RouterID, v.Priority, interval.Seconds())
	fmt.Fprintf(&b, "    unicast_src_ip %s\n    unicast_peer {\n%s    }\n", v.Self.Address, strings.Join(peers, ""))
	fmt.Fprintf(&b, "    virtual_ipaddress {\n%s    }\n", strings.Join(same, ""))
	if len(other) > 0 {
		fmt.Fprintf(&b, "    virtual_ipaddress_excluded {\n%s    }\n", strings.Join(other, ""))
	}
	b.WriteString("    track_file {\n        haproxy weight 0\n    }\n}\n")
	return b.String()
}
