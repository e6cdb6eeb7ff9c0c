package nova

import (
	_ "embed"
	"strings"
)

// sections are those that Nova knows.
//
// Source: oslo-config-generator, for releases zed to epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT api api_database barbican barbican_service_user cache cinder compute conductor console
consoleauth cors cyborg database devices ephemeral_storage_encryption filter_scheduler glance
guestfs healthcheck image_cache ironic key_manager keystone keystone_authtoken libvirt manila
metrics mks neutron notifications os_vif_linux_bridge os_vif_noop os_vif_ovs oslo_concurrency
oslo_limit oslo_messaging_kafka oslo_messaging_notifications oslo_messaging_rabbit oslo_middleware
oslo_policy oslo_reports oslo_versionedobjects pci placement privsep profiler quota remote_debug
scheduler serial_console service_user spice upgrade_levels vault vendordata_dynamic_auth
vif_plug_ovs vmware vnc workarounds wsgi zvm
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
