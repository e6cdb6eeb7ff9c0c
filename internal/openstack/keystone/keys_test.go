package keystone_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/keystone"
	"github.com/updraft-cloud/updraft/internal/openstack/keystone/keyring"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// repositories returns what the first controller is told of its keys.
func repositories(t *testing.T, cloud string) []keyring.Repository {
	t.Helper()
	for _, it := range keystone.Service().Build(stacktest.Deployment(t, cloud, keystone.Service())) {
		f, ok := it.Resource.(*file.Resource)
		if !ok || f.Path != stack.ConfigDir("keystone")+"/keys.json" {
			continue
		}
		if !f.Sensitive || f.Mode != "0640" || f.Group != "root" {
			t.Errorf("master keys can be seen: %+v", f)
		}
		var c keyring.Config
		if err := json.Unmarshal([]byte(f.Content), &c); err != nil {
			t.Fatal(err)
		}
		return c.Repositories
	}
	t.Fatal("there are no keys")
	return nil
}

// What lies below /etc/updraft goes into bundles, less the secrets that updraft
// knows, which these keys are not.
func TestKeysAreNoConfiguration(t *testing.T) {
	for _, r := range repositories(t, stacktest.Small) {
		if strings.HasPrefix(r.Dir, stack.ConfigRoot) {
			t.Errorf("keys lie in %s", r.Dir)
		}
	}
}

func TestKeysOfTokensStayForAsLongAsTheUserHasTokensLive(t *testing.T) {
	const hour = 3600
	for settings, want := range map[string]int64{
		"": 49 * hour,
		"  overrides: {keystone: {token: {expiration: 14400}}}\n":                         52 * hour,
		"  overrides: {keystone: {token: {expiration: 7200, allow_expired_window: 0}}}\n": 2 * hour,
		"  overrides: {keystone: {token: {provider: fernet}}}\n":                          49 * hour,
	} {
		cloud := strings.Replace(stacktest.Small, "openstack: {vip: api, external: [ext]}\n", "openstack:\n  vip: api\n  external: [ext]\n"+settings, 1)
		if got := repositories(t, cloud)[0].Keep; got != want {
			t.Errorf("%q: keys stay for %d seconds, want %d", settings, got, want)
		}
	}
}
