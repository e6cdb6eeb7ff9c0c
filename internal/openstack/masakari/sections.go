package masakari

import (
	_ "embed"
	"strings"
)

// sections are those that Masakari knows.
//
// Source: oslo-config-generator, for release epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT audit_middleware_notifications cache coordination cors database healthcheck host_failure
instance_failure keystone_authtoken osapi_v1 oslo_concurrency oslo_messaging_kafka
oslo_messaging_notifications oslo_messaging_rabbit oslo_middleware oslo_policy
oslo_versionedobjects privsep process_failure ssl taskflow taskflow_driver_recovery_flows wsgi
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
