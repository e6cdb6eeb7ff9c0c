package heat

import (
	_ "embed"
	"strings"
)

// sections are those that Heat knows.
//
// Source: oslo-config-generator, for release epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT audit_middleware_notifications auth_password cache clients clients_aodh clients_barbican
clients_cinder clients_designate clients_glance clients_heat clients_keystone clients_magnum
clients_manila clients_mistral clients_monasca clients_neutron clients_nova clients_octavia
clients_swift clients_trove clients_vitrage clients_zaqar constraint_validation_cache cors database
ec2authtoken eventlet_opts healthcheck heat_api heat_api_cfn keystone_authtoken noauth
oslo_concurrency oslo_messaging_kafka oslo_messaging_notifications oslo_messaging_rabbit
oslo_middleware oslo_policy oslo_reports oslo_versionedobjects paste_deploy profiler
profiler_jaeger profiler_otlp resource_finder_cache revision service_extension_cache ssl trustee
volumes yaql
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
