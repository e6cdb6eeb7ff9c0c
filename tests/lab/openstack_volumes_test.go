package lab_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/cinder"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// TestDriversOfVolumesFitThePackages runs both of updraft's own in the images, above
// the classes of Cinder and Nova that they stand on.
func TestDriversOfVolumesFitThePackages(t *testing.T) {
	needLab(t)
	for _, c := range []struct{ image, module, script string }{
		{"cinder", "../../internal/openstack/cinder/updraft_volumes.py", "volumes_cinder.py"},
		{"openstack", "../../internal/openstack/nova/updraft_volumes.py", "volumes_nova.py"},
	} {
		t.Run(c.image, func(t *testing.T) {
			cmd := inCopy(t.Context(), imageRoot(t, c.image), `mount -t devtmpfs dev "$ROOT/dev"
cp "$MODULE" "$SCRIPT" "$ROOT/tmp"
exec chroot "$ROOT" env PYTHONPATH=/tmp python3 "/tmp/$(basename "$SCRIPT")"`, "MODULE="+c.module, "SCRIPT="+c.script)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "all is well\n") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestCinderKnowsEverySettingThatItIsGiven asks Cinder's own description of them. What
// drivers and helpers have in sections of their own it does not describe, nor with what
// the plug-in signs in that keystoneauth loads.
func TestCinderKnowsEverySettingThatItIsGiven(t *testing.T) {
	needLab(t)
	cloud := strings.Replace(stacktest.Large, "openstack: {", "openstack: {services: [cinder], ", 1)
	var conf string
	for _, it := range cinder.Service().Build(stacktest.Deployment(t, cloud, cinder.Service())) {
		if f, ok := it.Resource.(*file.Resource); ok && f.Path == stack.ConfigDir("cinder")+"/cinder.conf" {
			conf = f.Content
		}
	}
	path := filepath.Join(t.TempDir(), "cinder.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	line := `cp "$CONF" "$ROOT/tmp"; exec chroot "$ROOT" oslo-config-validator --input-file /tmp/cinder.conf`
	for _, n := range []string{"cinder", "os_brick", "oslo.log", "oslo.messaging", "oslo.db", "oslo.concurrency", "oslo.service.wsgi", "oslo.middleware.http_proxy_to_wsgi", "keystonemiddleware.auth_token"} {
		line += " --namespace " + n
	}
	out, _ := inCopy(t.Context(), imageRoot(t, "cinder"), line, "CONF="+path).CombinedOutput() // it also ends with 1 for those of drivers
	if !strings.Contains(string(out), "INFO") {
		t.Errorf("the validator did not run: %s", out)
	}
	undescribed := []string{
		":volumes/", ":cinder_sys_admin/", ":service_user/auth_type", ":nova/auth_url", ":nova/username", ":nova/password",
		":nova/user_domain_name", ":nova/project_name", ":nova/project_domain_name",
	}
	for l := range strings.Lines(string(out)) {
		elsewhere := slices.ContainsFunc(undescribed, func(s string) bool { return strings.Contains(l, s) })
		if strings.Contains(l, "is not part of") && !elsewhere {
			t.Error(strings.TrimSpace(l))
		}
	}
}
