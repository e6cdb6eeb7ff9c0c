package glance

import (
	_ "embed"
	"strings"
)

// sections are those that Glance knows.
//
// Source: oslo-config-generator, for releases zed to epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT barbican barbican_service_user cache cors database glance_download_opts glance_store
healthcheck image_conversion image_format image_import_opts import_filtering_opts
inject_metadata_properties key_manager keystone_authtoken os_glance_staging_store
os_glance_tasks_store oslo_concurrency oslo_limit oslo_messaging_kafka oslo_messaging_notifications
oslo_messaging_rabbit oslo_middleware oslo_policy oslo_reports oslo_versionedobjects paste_deploy
privsep profiler service_user store task taskflow_executor vault wsgi
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
