package edge

import (
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

const (
	haproxyConf    = "/etc/haproxy/haproxy.cfg"
	keepalivedConf = "/etc/keepalived/keepalived.conf"
	keepalivedArgs = "/etc/default/keepalived"
	checkScript    = "/etc/keepalived/check-haproxy"
)

// items returns the resources. HAProxy is up before keepalived, whose first
// question would otherwise find nobody; both come after the setting that lets
// HAProxy bind an address that another edge may have.
func (s *service) items(in *configset.Input) []configset.Item {
	sources := basebox.BeforePackages(in.Cloud, in.Host)
	nonlocal := "net.ipv4.ip_nonlocal_bind"
	if s.vip.Address.Is6() {
		nonlocal = "net.ipv6.ip_nonlocal_bind"
	}
	items := []configset.Item{
		{Resource: &pkg.Resource{Name: "haproxy"}, Needs: sources},
		{Resource: &pkg.Resource{Name: "keepalived"}, Needs: sources},
		{Resource: &sysctl.Resource{Name: nonlocal, Value: "1"}},
	}
	items = append(items, s.haproxyItems("sysctl:"+nonlocal)...)
	return append(items, s.keepalivedItems()...)
}

func (s *service) haproxyItems(nonlocal string) []configset.Item {
	enabled := true
	return []configset.Item{
		{
			Resource: &file.Resource{
				Path: haproxyConf, Content: s.haproxy(), Mode: "0644", Owner: "root", Group: "root",
				Check: []string{"haproxy", "-c", "-f", "%s"},
			},
			Needs: []string{"package:haproxy", nonlocal},
		},
		{
			Resource: &unit.Resource{Name: "haproxy.service", Enabled: &enabled, State: unit.Started, ReloadOn: []string{haproxyConf}},
			Needs:    []string{"package:haproxy"},
			Triggers: []string{"file:" + haproxyConf},
		},
	}
}

// keepalivedItems keep IPVS out of it (--vrrp): it needs a kernel module, and
// HAProxy does the balancing.
func (s *service) keepalivedItems() []configset.Item {
	enabled := true
	return []configset.Item{
		{
			Resource: &file.Resource{Path: keepalivedArgs, Content: header + "DAEMON_ARGS=\"--vrrp\"\n", Mode: "0644", Owner: "root", Group: "root"},
			Needs:    []string{"package:keepalived"},
		},
		{
			Resource: &file.Resource{
				Path: checkScript, Content: s.check(), Mode: "0755", Owner: "root", Group: "root",
				Check: []string{"bash", "-n", "%s"},
			},
			Needs: []string{"package:keepalived"},
		},
		{
			Resource: &file.Resource{
				Path: keepalivedConf, Content: s.keepalived(), Mode: "0644", Owner: "root", Group: "root",
				Check: []string{"keepalived", "-t", "-f", "%s"},
			},
			Needs: []string{"package:keepalived", "file:" + checkScript},
		},
		{
			Resource: &unit.Resource{
				Name: "keepalived.service", Enabled: &enabled, State: unit.Started,
				RestartOn: []string{keepalivedArgs}, ReloadOn: []string{keepalivedConf},
			},
			Needs:    []string{"package:keepalived", "unit:haproxy.service", "file:" + keepalivedArgs},
			Triggers: []string{"file:" + keepalivedConf, "file:" + keepalivedArgs},
		},
	}
}
