package cinder

import (
	_ "embed"
	"strings"
)

// sections are those that Cinder knows.
//
// Source: oslo-config-generator, for release epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT audit_middleware_notifications backend backend_defaults barbican barbican_service_user
brcd_fabric_example cache cisco_fabric_example coordination cors database fc-zone-manager
healthcheck key_manager keymgr keystone_authtoken nova os_brick oslo_concurrency
oslo_messaging_kafka oslo_messaging_notifications oslo_messaging_rabbit oslo_middleware oslo_policy
oslo_reports oslo_versionedobjects privsep profiler profiler_jaeger profiler_otlp service_user ssl
vault
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
