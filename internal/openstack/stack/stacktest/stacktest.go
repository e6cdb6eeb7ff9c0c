// Package stacktest holds OpenStack's services to the same promises: what a
// service asks for is valid, is the same each time, and is what the golden files
// say, with one controller and with three.
//
// "go test -update" writes the golden files anew; do so only when you can say
// what moved them.
package stacktest

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/configsettest"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Update reports whether golden files are to be written: the flag of package
// configsettest.
func Update() bool { return flag.Lookup("update").Value.String() == "true" }

const head = `
version: 1
cloud: test
networks:
  mgmt: {cidr: 10.88.0.0/24}
  data: {cidr: 10.88.1.0/24}
  ext: {cidr: 10.88.2.0/24}
  public: {cidr: 203.0.113.0/24, cidr6: "2001:db8::/64"}
vips:
  api: {network: mgmt, address: 10.88.0.10, group: controller}
`

// Small is a cloud of one controller and one compute, Large one of three and two, and
// Public one whose users are in a network of their own, with both families of addresses.
const (
	Public = head + `  users: {network: public, address: 203.0.113.10, group: controller}
  users6: {network: public, address: "2001:db8::10", group: controller}
groups:
  controller: {count: 3, nics: [mgmt, public]}
  compute: {count: 1, nics: [mgmt, data, ext]}
openstack: {vip: api, public: [users, users6], external: [ext]}
`

	Small = head + `
groups:
  controller: {count: 1, nics: [mgmt, data, ext]}
  compute: {count: 1, nics: [mgmt, data, ext]}
openstack: {vip: api, external: [ext]}
`
	Large = head + `
groups:
  controller: {count: 3, nics: [mgmt, data, ext]}
  compute: {count: 2, nics: [mgmt, data, ext]}
openstack: {vip: api, external: [ext], workers: 2}
`
)

// Deployment returns a deployment of the cloud file with secrets that only
// depend on their names.
func Deployment(t *testing.T, cloud string, services ...stack.Service) *stack.Deployment {
	t.Helper()
	c, faults := spec.Parse("cloud.yaml", []byte(cloud), spec.Options{})
	if err := faults.Err(); err != nil || c == nil {
		t.Fatalf("the example is no cloud file: %v", err)
	}
	return &stack.Deployment{
		Cloud: c, Spec: c.OpenStack, Release: Release{}, Secrets: Secrets{}, Diags: &diag.List{}, Services: services,
	}
}

// Golden builds the service in the small and the large cloud, beside the other
// services that it looks at.
func Golden(t *testing.T, s stack.Service, others ...stack.Service) {
	t.Helper()
	GoldenOf(t, map[string]string{"small": Small, "large": Large}, s, others...)
}

// GoldenLarge is Golden for a service that only a large cloud can have.
func GoldenLarge(t *testing.T, s stack.Service, others ...stack.Service) {
	t.Helper()
	GoldenOf(t, map[string]string{"large": Large}, s, others...)
}

// GoldenPublic is Golden for a service that users come to, with a network for these.
func GoldenPublic(t *testing.T, s stack.Service, others ...stack.Service) {
	t.Helper()
	GoldenOf(t, map[string]string{"small": Small, "large": Large, "public": Public}, s, others...)
}

// GoldenOf is Golden for clouds by the names of their files.
func GoldenOf(t *testing.T, clouds map[string]string, s stack.Service, others ...stack.Service) {
	t.Helper()
	for name, cloud := range clouds {
		t.Run(name, func(t *testing.T) {
			d := Deployment(t, cloud, append([]stack.Service{s}, others...)...)
			got := Render(t, s.Build(d))
			if again := Render(t, s.Build(d)); again != got {
				t.Errorf("a second build gives something else:\n%s", cmp.Diff(got, again))
			}
			if err := d.Diags.Err(); err != nil {
				t.Error(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if Update() {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// Render validates the items and renders them as text, by host.
func Render(t *testing.T, items []stack.Item) string {
	t.Helper()
	var b strings.Builder
	var hosts []string
	by := map[string][]configset.Item{}
	for _, it := range items {
		if err := it.Resource.Validate(); err != nil {
			t.Errorf("%s/%s:%s is not valid: %v", it.Host, it.Resource.Kind(), it.Resource.Key(), err)
		}
		if by[it.Host] == nil {
			hosts = append(hosts, it.Host)
		}
		by[it.Host] = append(by[it.Host], it.Item)
	}
	for _, h := range hosts {
		fmt.Fprintf(&b, "======== %s\n%s", h, configsettest.Render(t, by[h]))
	}
	return b.String()
}

// Secrets are derived from their names.
type Secrets struct{}

// Password implements [stack.Secrets].
func (Secrets) Password(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "secret" + hex.EncodeToString(sum[:6])
}

// FernetKeys implements [stack.Secrets].
func (s Secrets) FernetKeys(name string) map[string]string {
	return map[string]string{"0": s.Password(name + "0"), "1": s.Password(name + "1")}
}

// Certificate implements [stack.Secrets].
func (s Secrets) Certificate(name string, names ...string) (cert, key string) {
	return "certificate of " + name + " for " + strings.Join(names, ", ") + "\n", "key " + s.Password(name) + "\n"
}

// Authority implements [stack.Secrets].
func (Secrets) Authority() string { return "authority\n" }

// Release is a release of no distribution.
type Release struct{}

// Image implements [stack.Release].
func (Release) Image(name string) string { return "localhost/updraft/" + name + ":test" }

// Head implements [stack.Release].
func (Release) Head(database string) []string { return []string{"head-of-" + database} }

// Path implements [stack.Release].
func (Release) Path(name string) string { return "/usr/bin/" + name }

// UID implements [stack.Release].
func (Release) UID(user string) int { return uids[user] }

var uids = map[string]int{
	"mysql": 610, "rabbitmq": 611, "memcache": 612, "haproxy": 613, "etcd": 614, "keystone": 620, "glance": 621, "placement": 622,
	"nova": 623, "neutron": 624, "horizon": 625, "libvirt-qemu": 626, "openvswitch": 627, "registry": 628,
	"heat": 630, "masakari": 631, "cinder": 632,
}
