package keystone

import (
	_ "embed"
	"strings"
)

// sections are those that Keystone knows.
//
// Source: oslo-config-generator, for releases zed to epoxy.
func sections() []string {
	return strings.Fields(`
DEFAULT application_credential assignment auth cache catalog cors credential database domain_config
endpoint_filter endpoint_policy federation fernet_receipts fernet_tokens healthcheck identity
identity_mapping jwt_tokens keystone_authtoken ldap oauth1 oauth2 oslo_concurrency oslo_limit
oslo_messaging_kafka oslo_messaging_notifications oslo_messaging_rabbit oslo_middleware oslo_policy
oslo_reports oslo_versionedobjects policy privsep profiler receipt resource revoke role saml
security_compliance shadow_users token tokenless_auth totp trust unified_limit wsgi
`)
}

// options are the settings of release epoxy: see tools/oslo-options.py.
//
//go:embed options.txt
var options string
