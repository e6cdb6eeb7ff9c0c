package placement

import (
	_ "embed"
	"strings"
)

// sections are those that Placement knows.
//
// Source: oslo-config-generator, for releases zed to epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT api cache cors database healthcheck keystone_authtoken oslo_concurrency oslo_limit
oslo_messaging_kafka oslo_messaging_notifications oslo_messaging_rabbit oslo_middleware oslo_policy
oslo_reports oslo_versionedobjects placement placement_database privsep profiler
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
