package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/api/apitest"
	"github.com/updraft-cloud/updraft/internal/retry"
)

const userPassword = "user-password-0123456789"

func access(c *apitest.Cloud) api.Access {
	return api.Access{
		AuthURL: c.AuthURL(), CA: c.CA(), Region: "RegionOne", Timeout: 10 * time.Second,
		Password: func() (string, error) { return apitest.Password, nil },
	}
}

// world is a cloud, who executes, and all that was told.
type world struct {
	*apitest.Cloud
	t    *testing.T
	x    *api.Executor
	told []string
}

func newWorld(t *testing.T, bare bool) *world {
	w := &world{Cloud: apitest.New(t, bare), t: t}
	w.AddHost(tenantHost)
	w.restart()
	t.Cleanup(func() { w.x.Close(); w.noSecrets() })
	return w
}

// restart begins anew with nothing known, as a new run of updraft does.
func (w *world) restart() {
	if w.x != nil {
		w.x.Close()
	}
	w.x = &api.Executor{Access: access(w.Cloud), Secrets: func(name string) (string, error) {
		if name != "user-demo" && !strings.HasPrefix(name, "keystone-") {
			return "", fmt.Errorf("there is no secret %s", name)
		}
		return userPassword, nil
	}}
}

func (w *world) observe(nodes ...*engine.Node) []drift.Report {
	w.t.Helper()
	before := w.String()
	reports, err := w.x.Observe(w.t.Context(), api.Scope, nodes)
	if err != nil {
		w.t.Fatalf("observe: %v", err)
	}
	if diff := cmp.Diff(before, w.String()); diff != "" {
		w.t.Errorf("observing changed the cloud (-before +after):\n%s", diff)
	}
	text, _ := json.Marshal(reports)
	w.told = append(w.told, string(text))
	return reports
}

// apply applies what differs, in order, as the engine does.
func (w *world) apply(nodes ...*engine.Node) error {
	reports, err := w.x.Observe(w.t.Context(), api.Scope, nodes)
	if err != nil {
		return err
	}
	for i, n := range nodes {
		if reports[i].Agrees() {
			continue
		}
		err := w.x.Apply(w.t.Context(), n, reports[i], engine.Cause{}, func(l string) { w.told = append(w.told, l) })
		if err != nil {
			w.told = append(w.told, err.Error())
			return fmt.Errorf("%s: %w", n.ID, err)
		}
	}
	return nil
}

func (w *world) mustApply(nodes ...*engine.Node) {
	w.t.Helper()
	if err := w.apply(nodes...); err != nil {
		w.t.Fatal(err)
	}
	for i, r := range w.observe(nodes...) {
		if !r.Agrees() {
			w.t.Errorf("%s after apply: %s %+v %s", nodes[i].ID, r.Status, r.Changes, r.Err)
		}
	}
}

func (w *world) remove(nodes ...*engine.Node) error {
	for _, n := range slices.Backward(nodes) {
		rec := engine.Record{ID: n.ID, Kind: n.Kind, Key: n.Key, Scope: n.Scope, Made: true, Removal: n.Body.Removal()}
		w.told = append(w.told, string(rec.Removal))
		if err := w.x.Remove(w.t.Context(), rec, func(string) {}); err != nil {
			w.told = append(w.told, err.Error())
			return fmt.Errorf("%s: %w", n.ID, err)
		}
	}
	return nil
}

func (w *world) noSecrets() {
	for _, text := range w.told {
		for _, secret := range []string{userPassword, apitest.Password, apitest.TokenPrefix} {
			if strings.Contains(text, secret) {
				w.t.Errorf("a secret was told: %s", text)
			}
		}
	}
}

// tenantHost is a host of servers that every world has.
const tenantHost = "rack1-7"

// tenant is one of everything.
func tenant(t *testing.T) []api.Resource {
	t.Helper()
	file := func(name, content string) string {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	yes := true
	return []api.Resource{
		&api.Project{Name: "demo", Description: "The first tenant"},
		&api.Role{Name: "operator", Description: "Runs it"},
		&api.User{Name: "demo", Password: "user-demo", Email: "demo@example.org", Enabled: &yes},
		&api.RoleAssignment{User: "demo", Role: "operator", Project: "demo"},
		&api.RoleAssignment{User: "demo", Role: "reader", System: true},
		&api.RoleAssignment{User: "demo", Role: "reader", Domain: "Default"},
		&api.Domain{Name: "customers", Description: "Not ours"},
		&api.User{Name: "theirs", Domain: "customers", Password: "user-demo"},
		&api.RoleAssignment{User: "theirs", UserDomain: "customers", Role: "reader", Domain: "customers"},
		&api.Service{Type: "object-store", Name: "swift"},
		&api.Endpoint{Type: "object-store", Interface: "public", Region: "RegionTwo", URL: "https://192.0.2.1:8080/v1"},
		&api.Flavor{Name: "tiny", VCPUs: 1, RAM: 128, Disk: 1, Swap: 64, ExtraSpecs: map[string]string{"hw:cpu_policy": "shared"}},
		&api.Image{Name: "kernel", File: file("k", "a kernel"), Format: "aki"},
		&api.Image{Name: "ramdisk", File: file("r", "a RAM disk"), Format: "ari", Visibility: "community"},
		&api.Image{Name: "proof", File: file("d", "a disk"), Kernel: "kernel", Ramdisk: "ramdisk", MinRAM: 64, Protected: &yes, Properties: map[string]string{"os_command_line": "console=ttyS0"}},
		&api.Network{Name: "public", External: &yes, ProviderType: "flat", PhysicalNetwork: "external"},
		&api.Subnet{Name: "public", Network: "public", CIDR: "192.0.2.0/24", Gateway: "192.0.2.1", Pools: []string{"192.0.2.100-192.0.2.150", "192.0.2.10-192.0.2.20"}},
		&api.Network{Name: "demo", Project: "demo", Description: "inside", MTU: 1400},
		&api.Subnet{Name: "demo", Project: "demo", Network: "demo", CIDR: "10.0.0.0/24", DNS: []string{"192.0.2.53", "192.0.2.54"}, DHCP: &yes},
		&api.Subnet{Name: "lone", Project: "demo", Network: "demo", CIDR: "10.0.1.0/24", Gateway: "none"},
		&api.Router{Name: "demo", Project: "demo", External: "public", SNAT: &yes, Interfaces: []string{"demo"}},
		&api.SecurityGroup{Name: "web", Project: "demo", Description: "web", Rules: []api.Rule{
			{Protocol: "tcp", Ports: "80"}, {Protocol: "tcp", Ports: "8000-8080", Remote: "10.0.0.0/8"}, {Protocol: "icmp"}, {Group: "web"},
			{Family: "ipv6", Protocol: "ipv6-icmp"},
		}},
		&api.SecurityGroup{Name: "default", Project: "demo", Rules: []api.Rule{{Direction: "egress", Protocol: "udp", Ports: "53"}}},
		&api.Keypair{Name: "ops", PublicKey: testKey},
		&api.Aggregate{Name: "fast", Zone: "east", Metadata: map[string]string{"ssd": "true"}},
		&api.AggregateHost{Aggregate: "fast", Host: tenantHost},
		&api.Quota{Project: "demo", Compute: map[string]int{"instances": 3}, Network: map[string]int{"floatingip": -1}},
	}
}

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Qo7aZ6kqJ5cU1m1n3n0b0m8b6m1Q3v0qfJb5kU0qZ ops"

func nodes(t *testing.T, resources []api.Resource) []*engine.Node {
	t.Helper()
	for _, r := range resources {
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", api.Ref(r), err)
		}
	}
	out, err := api.Nodes(resources)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestApplyBringsInSyncAndObservingChangesNothing(t *testing.T) {
	w := newWorld(t, false)
	all := nodes(t, tenant(t))
	for i, r := range w.observe(all...) {
		if quota := strings.Contains(all[i].ID, "quota:"); r.Status != drift.Absent && !quota {
			t.Errorf("%s before: %s %s", all[i].ID, r.Status, r.Err)
		}
	}
	w.mustApply(all...)
	w.restart()
	w.Calls()
	w.observe(all...)
	calls := w.Calls()
	if changes := apitest.Changes(calls); len(changes) > 0 {
		t.Errorf("observing a converged cloud: %v", changes)
	}
	// One token, one password tried, one list for each collection (with pages of
	// images), two quotas.
	if len(calls) > 23 {
		t.Errorf("%d calls to observe %d resources:\n%s", len(calls), len(all), strings.Join(calls, "\n"))
	}
}

func TestApplyingWhatIsInSyncChangesNothing(t *testing.T) {
	w := newWorld(t, false)
	all := nodes(t, tenant(t))
	w.mustApply(all...)
	w.Calls()
	for _, n := range all {
		if err := w.x.Apply(t.Context(), n, drift.Report{Status: drift.InSync}, engine.Cause{}, func(string) {}); err != nil {
			t.Errorf("%s: %v", n.ID, err)
		}
	}
	changes := slices.DeleteFunc(apitest.Changes(w.Calls()), func(s string) bool {
		return strings.Contains(s, "quota") || strings.Contains(s, "/roles/") // PUTs that say the same again
	})
	if len(changes) > 0 {
		t.Errorf("got %v", changes)
	}
}

func TestEachDriftIsToldAloneAndMended(t *testing.T) {
	w := newWorld(t, false)
	list := tenant(t)
	all := nodes(t, list)
	w.mustApply(all...)
	for _, d := range []struct {
		id, plural, name string
		change           map[string]any
		attrs            []string
	}{
		{"project:demo", "projects", "demo", map[string]any{"description": "other"}, []string{"description"}},
		{"user:demo", "users", "demo", map[string]any{"password": "changed by hand"}, []string{"password"}},
		{"user:demo", "users", "demo", map[string]any{"email": "x@example.org"}, []string{"email"}},
		{"user:demo", "users", "demo", map[string]any{"enabled": false}, []string{"enabled"}},
		{"role:operator", "roles", "operator", map[string]any{"description": ""}, []string{"description"}},
		{"service:object-store", "services", "swift", map[string]any{"name": "ceph"}, []string{"name"}},
		{"flavor:tiny", "flavors", "tiny", map[string]any{"ram": 256.0}, []string{"ram"}},
		{"flavor:tiny", "flavors", "tiny", map[string]any{"swap": ""}, []string{"swap"}},
		{"flavor:tiny", "flavors", "tiny", map[string]any{"extra_specs": map[string]any{"a": "b"}}, []string{"extra_specs"}},
		{"flavor:tiny", "flavors", "tiny", map[string]any{"os-flavor-access:is_public": false}, []string{"os-flavor-access:is_public"}},
		{"aggregate:fast", "aggregates", "fast", map[string]any{"metadata": map[string]any{"availability_zone": "east", "gpu": "true"}}, []string{"metadata"}},
		{"aggregate:fast", "aggregates", "fast", map[string]any{"availability_zone": "west"}, []string{"availability_zone"}},
		{"image:proof", "images", "proof", map[string]any{"os_hash_value": "0000"}, []string{"content"}},
		{"image:proof", "images", "proof", map[string]any{"kernel_id": "another"}, []string{"kernel_id"}},
		{"image:proof", "images", "proof", map[string]any{"status": "saving"}, []string{"status"}},
		{"image:proof", "images", "proof", map[string]any{"os_command_line": "quiet"}, []string{"os_command_line"}},
		{"image:kernel", "images", "kernel", map[string]any{"visibility": "private"}, []string{"visibility"}},
		{"network:demo/demo", "networks", "demo", map[string]any{"mtu": 1500.0}, []string{"mtu"}},
		{"network:public", "networks", "public", map[string]any{"router:external": false}, []string{"router:external"}},
		{"subnet:demo/demo", "subnets", "demo", map[string]any{"dns_nameservers": []any{}}, []string{"dns_nameservers"}},
		{"subnet:demo/demo", "subnets", "demo", map[string]any{"enable_dhcp": false}, []string{"enable_dhcp"}},
		{"subnet:demo/lone", "subnets", "lone", map[string]any{"gateway_ip": "10.0.1.1"}, []string{"gateway_ip"}},
		{"subnet:public", "subnets", "public", map[string]any{"allocation_pools": []any{}}, []string{"allocation_pools"}},
		{"router:demo/demo", "routers", "demo", map[string]any{"external_gateway_info": nil}, []string{"external", "snat"}},
		{"security_group:demo/web", "security_groups", "web", map[string]any{"security_group_rules": []any{}}, []string{"rules"}},
		{"security_group:demo/web", "security_groups", "web", map[string]any{"description": "x"}, []string{"description"}},
	} {
		t.Run(d.id+" "+strings.Join(d.attrs, ","), func(t *testing.T) {
			w.Set(d.plural, d.name, d.change)
			for i, r := range w.observe(all...) {
				own := all[i].ID == "openstack/"+d.id
				var got []string
				for _, c := range r.Changes {
					got = append(got, c.Attr)
				}
				if own && !slices.Equal(got, d.attrs) || !own && r.Status != drift.InSync {
					t.Errorf("%s: %s %v %s, want %v", all[i].ID, r.Status, got, r.Err, d.attrs)
				}
			}
			w.mustApply(all...)
		})
	}
}

func TestAPasswordIsNoPartOfAReport(t *testing.T) {
	w := newWorld(t, false)
	all := nodes(t, []api.Resource{&api.User{Name: "demo", Password: "user-demo"}})
	w.mustApply(all...)
	w.Set("users", "demo", map[string]any{"password": "changed by hand"})
	if got := w.observe(all...)[0].Changes; !slices.Equal(got, []drift.Change{{Attr: "password"}}) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatWasTakenAwayIsMadeAgain(t *testing.T) {
	for _, gone := range []struct{ plural, name string }{
		{"roles", "operator"}, {"users", "demo"}, {"flavors", "tiny"}, {"images", "ramdisk"}, {"security_groups", "web"},
	} {
		t.Run(gone.plural, func(t *testing.T) {
			w := newWorld(t, false)
			all := nodes(t, tenant(t))
			w.mustApply(all...)
			w.Delete(gone.plural, gone.name)
			w.mustApply(all...)
		})
	}
}

func TestCutOffAfterAnyChangeTheNextRunFinishes(t *testing.T) {
	whole := newWorld(t, false)
	list := tenant(t)
	all := nodes(t, list)
	whole.mustApply(all...)
	want := whole.String()
	for k := 1; ; k++ {
		w := newWorld(t, false)
		w.CutAfter(k)
		err := w.apply(all...)
		if !w.Mend() {
			if k < 30 {
				t.Errorf("only %d changes", k)
			}
			return
		}
		if err == nil {
			t.Fatalf("cut after %d changes: no error", k)
		}
		if retry.ClassOf(err) != retry.Transient {
			t.Errorf("cut after %d changes: %v is %s", k, err, retry.ClassOf(err))
		}
		w.restart()
		w.mustApply(all...)
		if diff := cmp.Diff(sansURL(want, whole), sansURL(w.String(), w)); diff != "" {
			t.Fatalf("cut after %d changes (%v), then finished (-want +got):\n%s", k, err, diff)
		}
	}
}

// sansURL renders the cloud without the address of the test's server.
func sansURL(s string, w *world) string { return strings.ReplaceAll(s, w.URL(), "") }

func TestRemovingLeavesTheCloudAsItWasTwice(t *testing.T) {
	w := newWorld(t, false)
	before := w.String()
	all := slices.DeleteFunc(nodes(t, tenant(t)), func(n *engine.Node) bool {
		return n.Kind == "openstack.quota" || n.Key == "demo/default"
	})
	w.mustApply(all...)
	for range 2 {
		if err := w.remove(all...); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, w.String()); diff != "" {
			t.Errorf("after removing (-want +got):\n%s", diff)
		}
		w.restart()
	}
}

func TestRemovingIsFinishedAfterACut(t *testing.T) {
	all := slices.DeleteFunc(nodes(t, tenant(t)), func(n *engine.Node) bool {
		return n.Kind == "openstack.quota" || n.Key == "demo/default"
	})
	for k := 1; ; k++ {
		w := newWorld(t, false)
		before := w.String()
		w.mustApply(all...)
		w.CutAfter(k)
		_ = w.remove(all...)
		if !w.Mend() {
			return
		}
		w.restart()
		if err := w.remove(all...); err != nil {
			t.Fatalf("cut after %d: %v", k, err)
		}
		if diff := cmp.Diff(before, w.String()); diff != "" {
			t.Fatalf("cut after %d (-want +got):\n%s", k, diff)
		}
	}
}

func TestWhatUpdraftDidNotMakeIsLeftAlone(t *testing.T) {
	w := newWorld(t, false)
	n := api.Node(&api.Project{Name: "admin"})
	rec := engine.Record{ID: n.ID, Kind: n.Kind, Key: n.Key, Removal: n.Body.Removal()}
	if err := w.x.Remove(context.Background(), rec, func(string) {}); err != nil || w.Count("projects") != 1 {
		t.Errorf("removed (%v)", err)
	}
}
