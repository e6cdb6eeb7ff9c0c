package neutron

import (
	_ "embed"
	"strings"
)

// sections are those that Neutron knows.
//
// Source: oslo-config-generator, for releases zed to epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT agent cache cors database designate healthcheck ironic keystone_authtoken
metadata_rate_limiting ml2 ml2_type_flat ml2_type_geneve ml2_type_gre ml2_type_vlan ml2_type_vxlan
nova oslo_concurrency oslo_limit oslo_messaging_kafka oslo_messaging_notifications
oslo_messaging_rabbit oslo_middleware oslo_policy oslo_reports oslo_versionedobjects ovn
ovn_nb_global ovs ovs_driver placement privsep profiler quotas securitygroup service_user
sriov_driver
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
