package stack_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestTokensOfServicesCountOnlyWithTheirRole(t *testing.T) {
	var f stack.INI
	stack.Authtoken(stacktest.Deployment(t, stacktest.Large), &f, "glance")
	want := stack.Header + `
[keystone_authtoken]
auth_type = password
auth_url = https://10.88.0.10:5000/v3
username = glance
password = ` + stacktest.Secrets{}.Password("keystone-glance") + `
user_domain_name = Default
project_name = service
project_domain_name = Default
cafile = /etc/updraft/authority/ca.pem
region_name = RegionOne
www_authenticate_uri = https://10.88.0.10:5000/v3
memcached_servers = 127.0.0.1:11220,127.0.0.1:11221,127.0.0.1:11222
memcache_pool_dead_retry = 2
service_token_roles = service
service_token_roles_required = true
`
	if diff := cmp.Diff(want, f.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestQueuesAreReplicatedWithMoreThanOneController(t *testing.T) {
	for cloud, want := range map[string]string{stacktest.Small: "false", stacktest.Large: "true"} {
		var f stack.INI
		stack.Messaging(stacktest.Deployment(t, cloud), &f)
		if got, _ := f.Get("oslo_messaging_rabbit", "rabbit_quorum_queue"); got != want {
			t.Errorf("rabbit_quorum_queue is %s, want %s", got, want)
		}
	}
}

func TestUWSGI(t *testing.T) {
	for name, c := range map[string]struct {
		app  stack.UWSGI
		want []string
	}{
		"there is at least one of each": {stack.UWSGI{Listen: "10.0.0.1:80"}, []string{"processes = 1", "threads = 1", "http-socket = 10.0.0.1:80"}},
		"a privileged port is opened before the user changes": {
			stack.UWSGI{Listen: "10.0.0.1:443", User: "horizon"}, []string{"shared-socket = 10.0.0.1:443", "http-socket = =0", "uid = horizon", "gid = horizon"},
		},
		"what has no length streams":             {stack.UWSGI{Streams: true}, []string{"http-chunked-input = true", "http-auto-chunked = true"}},
		"an application that does not load ends": {stack.UWSGI{}, []string{"need-app = true", "die-on-term = true"}},
	} {
		t.Run(name, func(t *testing.T) {
			lines := strings.Split(c.app.String(), "\n")
			have := map[string]bool{}
			for _, l := range lines {
				have[l] = true
			}
			for _, w := range c.want {
				if !have[w] {
					t.Errorf("%q is missing from:\n%s", w, strings.Join(lines, "\n"))
				}
			}
		})
	}
}
