package basebox

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
)

// check reports what the tags of the parameters cannot say, and whether all is
// well.
func check(in *configset.Input, p *Params) bool {
	before := len(*in.Diags)
	names := map[string]bool{}
	for i, u := range p.Users {
		at := fmt.Sprintf("users.%d", i)
		if names[u.Name] {
			in.Fault(at+".name", "take out one", "users: %s is there twice", u.Name)
		}
		names[u.Name] = true
		for j, k := range u.Keys {
			if len(strings.Fields(k)) < 2 {
				in.Fault(fmt.Sprintf("%s.keys.%d", at, j), "write a whole line of a .pub file: type, key and comment",
					"users: %s has a key that is none", u.Name)
			}
		}
	}
	if p.Sources != nil && in.Cloud.Mirrors[p.Sources.Distribution] == "" {
		in.Fault("sources.distribution", "write mirrors: {"+p.Sources.Distribution+": http://…} at the top of the cloud file",
			"sources: the cloud file names no mirror of %s", p.Sources.Distribution)
	}
	checkPorts(in, "firewall.tcp", p.Firewall.TCP)
	checkPorts(in, "firewall.udp", p.Firewall.UDP)
	return len(*in.Diags) == before
}

func checkPorts(in *configset.Input, param string, ports []int) {
	for i, n := range ports {
		if n < 1 || n > 65535 {
			in.Fault(fmt.Sprintf("%s.%d", param, i), "", "%s: %d is not a port", param, n)
		}
	}
}
