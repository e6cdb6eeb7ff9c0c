package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/api/apitest"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

func TestAnErrorSaysWhatAndWhyAndIsClassified(t *testing.T) {
	flavor := &api.Flavor{Name: "tiny", VCPUs: 1, RAM: 64}
	for _, tc := range []struct {
		name  string
		spoil func(*world)
		class retry.Class
		says  string
	}{
		{"a service is not up", func(w *world) { w.Down("compute", 503) }, retry.Transient, "cannot list flavors: the API answers 503 Service Unavailable: the service is down (req-"},
		{"too many requests", func(w *world) { w.Down("compute", 429) }, retry.Transient, "429"},
		{"an internal error", func(w *world) { w.Down("compute", 500) }, retry.Transient, "500"},
		{"not allowed", func(w *world) { w.Down("compute", 403) }, retry.Permanent, "403 Forbidden"},
		{"a bad request", func(w *world) { w.Down("compute", 400) }, retry.Permanent, "400 Bad Request"},
		{"a conflict is looked at again", func(w *world) { w.Down("compute", 409) }, retry.Transient, "409 Conflict"},
		{"a service hangs", func(w *world) { w.Hang("compute"); w.x.Access.Timeout = 200 * time.Millisecond }, retry.Transient, "cannot list flavors: "},
		{"the API does not answer", func(w *world) {
			w.x.Access.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		}, retry.Transient, "cannot get a token as admin in project admin: connection refused"},
		{"a wrong password", func(w *world) {
			w.x.Access.Password = func() (string, error) { return userPassword, nil }
		}, retry.Permanent, "cannot get a token as admin in project admin: the API answers 401 Unauthorized"},
		{"an authority that is not known", func(w *world) { w.x.Access.CA = "" }, retry.Transient, "certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, false)
			tc.spoil(w)
			_, err := w.x.Observe(t.Context(), api.Scope, []*engine.Node{api.Node(flavor)})
			if err == nil || !strings.Contains(err.Error(), tc.says) || retry.ClassOf(err) != tc.class {
				t.Fatalf("got %v (%s)", err, retry.ClassOf(err))
			}
			w.told = append(w.told, err.Error())
		})
	}
}

func TestWhatCannotBeObservedDoesNotHideTheRest(t *testing.T) {
	w := newWorld(t, false)
	all := nodes(t, []api.Resource{&api.Project{Name: "admin"}, &api.Flavor{Name: "tiny", VCPUs: 1, RAM: 64}})
	w.Down("compute", 503)
	got := w.observe(all...)
	if got[0].Status != drift.InSync || got[1].Status != drift.Unknown || got[1].Err == "" {
		t.Errorf("got %+v", got)
	}
}

func TestATokenThatExpiredIsRenewed(t *testing.T) {
	w := newWorld(t, false)
	n := api.Node(&api.Flavor{Name: "tiny", VCPUs: 1, RAM: 64})
	w.mustApply(n)
	w.Expire()
	w.mustApply(n, api.Node(&api.Project{Name: "demo"}))
}

func TestANameThatTwoThingsCarryIsNoGuess(t *testing.T) {
	w := newWorld(t, false)
	w.mustApply(nodes(t, []api.Resource{&api.Network{Name: "demo"}})...)
	owner := w.Get("networks", "demo", "project_id")
	other := w.Add("networks", map[string]any{"name": "demo", "project_id": owner})
	own := w.Get("networks", "demo", "id").(string)
	_, err := w.x.Observe(t.Context(), api.Scope, []*engine.Node{api.Node(&api.Network{Name: "demo"})})
	if err == nil || !strings.Contains(err.Error(), own) || !strings.Contains(err.Error(), other) || retry.ClassOf(err) != retry.Permanent {
		t.Errorf("got %v", err)
	}
}

func TestSomethingThatIsReferredToAndMissingIsNamed(t *testing.T) {
	w := newWorld(t, false)
	err := w.apply(api.Node(&api.Subnet{Name: "demo", Network: "nowhere", CIDR: "10.0.0.0/24"}))
	if err == nil || !strings.Contains(err.Error(), "cannot make subnet demo: network nowhere does not exist") {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeChangedSaysSo(t *testing.T) {
	w := newWorld(t, false)
	w.mustApply(api.Node(&api.Network{Name: "demo"}), api.Node(&api.Subnet{Name: "demo", Network: "demo", CIDR: "10.0.0.0/24"}))
	err := w.apply(api.Node(&api.Subnet{Name: "demo", Network: "demo", CIDR: "10.9.0.0/24"}))
	if err == nil || !strings.Contains(err.Error(), `cannot change cidr of subnet demo from "10.0.0.0/24" to "10.9.0.0/24"`) {
		t.Errorf("got %v", err)
	}
}

func TestAnUploadThatWasCutOffIsReplaced(t *testing.T) {
	for _, status := range []string{"queued", "saving", "killed"} {
		t.Run(status, func(t *testing.T) {
			w := newWorld(t, false)
			file := t.TempDir() + "/disk"
			if err := os.WriteFile(file, []byte("a disk"), 0o600); err != nil {
				t.Fatal(err)
			}
			owner := w.Get("projects", "admin", "id")
			for _, name := range []string{"proof", "proof (updraft upload)"} {
				w.Add("images", map[string]any{"name": name, "status": status, "owner": owner, "protected": false})
			}
			w.mustApply(api.Node(&api.Image{Name: "proof", File: file}))
			if w.Count("images") != 1 || w.Get("images", "proof", "status") != "active" {
				t.Errorf("left:\n%s", w)
			}
		})
	}
}

func TestAnImageOfOtherContentIsReplaced(t *testing.T) {
	w := newWorld(t, false)
	file := t.TempDir() + "/disk"
	n := api.Node(&api.Image{Name: "proof", File: file})
	var ids []any
	for _, content := range []string{"a disk", "another disk"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		w.mustApply(n)
		ids = append(ids, w.Get("images", "proof", "id"))
	}
	if ids[0] == ids[1] || w.Count("images") != 1 {
		t.Errorf("images %v, %d in all", ids, w.Count("images"))
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := w.x.Observe(t.Context(), api.Scope, []*engine.Node{n}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without the file: %v", err)
	}
}

// services are what a cloud is bootstrapped with.
func services(w *world) []api.ServiceUser {
	var out []api.ServiceUser
	for _, name := range []string{"glance", "neutron", "nova", "placement"} {
		at := apitest.Paths()[name]
		out = append(out, api.ServiceUser{User: name, Secret: "keystone-" + name, Name: name, Type: at[0], URL: w.URL() + at[1]})
	}
	return out
}

func TestACloudIsRaisedFromNothingByTheEngineAndTakenDown(t *testing.T) {
	w := newWorld(t, true)
	before := w.String()
	all := append(api.Bootstrap("RegionOne", services(w)...), tenant(t)...)
	all = all[:len(all)-1] // quotas stay
	g, err := engine.NewGraph(nodes(t, all), []engine.Scope{{Name: api.Scope}})
	if err != nil {
		t.Fatal(err)
	}
	store := statedir.Open(t.TempDir())
	run := func(g *engine.Graph) int {
		t.Helper()
		e := engine.New(g, store, engine.Mux{Scopes: map[string]engine.Executor{api.Scope: w.x}}, func(ev engine.Event) {
			text, _ := json.Marshal(ev)
			w.told = append(w.told, string(text))
		}, engine.Options{})
		p, err := e.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(p)
		w.told = append(w.told, string(text))
		res, err := e.Apply(t.Context(), p, nil)
		if err != nil || len(res.Failed) > 0 {
			t.Fatalf("%v: %+v", err, res.Failed)
		}
		return len(p.Steps)
	}
	run(g)
	w.restart()
	if n := run(g); n != 0 {
		t.Errorf("a second run has %d steps", n)
	}
	w.restart()
	empty, err := engine.NewGraph(nil, []engine.Scope{{Name: api.Scope}})
	if err != nil {
		t.Fatal(err)
	}
	run(empty)
	if strings.Count(w.String(), "\n") > strings.Count(before, "\n")+1 { // the project's default group stays with Neutron
		t.Errorf("left:\n%s", w)
	}
}

func TestEveryKindIsDocumentedAndItsExampleIsValid(t *testing.T) {
	for _, k := range api.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			r := k.New()
			if r.Kind() != k.Name || k.Doc == "" {
				t.Errorf("makes %s, doc %q", r.Kind(), k.Doc)
			}
			for f := range reflect.TypeOf(r).Elem().Fields() {
				if f.Tag.Get("json") == "" || f.Tag.Get("doc") == "" {
					t.Errorf("field %s lacks a json or doc tag", f.Name)
				}
			}
			var doc map[string]any
			if err := yaml.Unmarshal([]byte(k.Example), &doc); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if k.Name == "security_group" {
				text = []byte(strings.Replace(string(text), `"ports":80`, `"ports":"80"`, 1)) // package spec takes numbers for texts
			}
			dec := json.NewDecoder(strings.NewReader(string(text)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(r); err != nil {
				t.Fatal(err)
			}
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultsAreFoundWithoutTheCloud(t *testing.T) {
	for _, tc := range []struct {
		field string
		r     api.Resource
	}{
		{"name", &api.Project{}}, {"name", &api.User{Name: " x"}}, {"name", &api.Role{Name: "a\nb"}}, {"type", &api.Service{Name: "x"}},
		{"url", &api.Endpoint{Type: "image", Interface: "public", Region: "r", URL: "ftp://x"}},
		{"interface", &api.Endpoint{Type: "image", Interface: "private", Region: "r", URL: "http://x"}},
		{"project", &api.RoleAssignment{User: "u", Role: "r"}}, {"project", &api.RoleAssignment{User: "u", Role: "r", Project: "p", System: true}},
		{"vcpus", &api.Flavor{Name: "f", RAM: 1}}, {"ram", &api.Flavor{Name: "f", VCPUs: 1}}, {"disk", &api.Flavor{Name: "f", VCPUs: 1, RAM: 1, Disk: -1}},
		{"extra_specs", &api.Flavor{Name: "f", VCPUs: 1, RAM: 1, ExtraSpecs: map[string]string{"a/b": "c"}}},
		{"file", &api.Image{Name: "i"}}, {"format", &api.Image{Name: "i", File: "f", Format: "floppy"}},
		{"properties", &api.Image{Name: "i", File: "f", Properties: map[string]string{"status": "active"}}},
		{"name", &api.Image{Name: "i (updraft upload)", File: "f"}},
		{"mtu", &api.Network{Name: "n", MTU: 5}}, {"physical_network", &api.Network{Name: "n", ProviderType: "flat"}},
		{"segment", &api.Network{Name: "n", ProviderType: "vlan", PhysicalNetwork: "p"}},
		{"cidr", &api.Subnet{Name: "s", Network: "n", CIDR: "10.0.0.1/24"}}, {"gateway", &api.Subnet{Name: "s", Network: "n", CIDR: "10.0.0.0/24", Gateway: "10.1.0.1"}},
		{"pools", &api.Subnet{Name: "s", Network: "n", CIDR: "10.0.0.0/24", Pools: []string{"10.0.0.9-10.0.0.2"}}},
		{"dns", &api.Subnet{Name: "s", Network: "n", CIDR: "10.0.0.0/24", DNS: []string{"ns"}}},
		{"ipv6_mode", &api.Subnet{Name: "s", Network: "n", CIDR: "10.0.0.0/24", Mode: "slaac"}},
		{"snat", &api.Router{Name: "r", SNAT: new(bool)}},
		{"rules[0].ports", &api.SecurityGroup{Name: "g", Rules: []api.Rule{{Protocol: "icmp", Ports: "80"}}}},
		{"rules[0].ports", &api.SecurityGroup{Name: "g", Rules: []api.Rule{{Protocol: "tcp", Ports: "90-80"}}}},
		{"rules[0].protocol", &api.SecurityGroup{Name: "g", Rules: []api.Rule{{Protocol: "carrier-pigeon"}}}},
		{"rules[0].remote", &api.SecurityGroup{Name: "g", Rules: []api.Rule{{Remote: "10.0.0.1/8"}}}},
		{"rules[0].remote_group", &api.SecurityGroup{Name: "g", Rules: []api.Rule{{Remote: "10.0.0.0/8", Group: "x"}}}},
		{"public_key", &api.Keypair{Name: "k", PublicKey: "ssh-ed25519 AAAA"}}, {"public_key", &api.Keypair{Name: "k", PublicKey: testKey + "\n" + testKey}},
		{"compute", &api.Quota{Project: "p"}}, {"network", &api.Quota{Project: "p", Network: map[string]int{"moons": 1}}},
	} {
		t.Run(fmt.Sprintf("%s of %s", tc.field, tc.r.Kind()), func(t *testing.T) {
			var f *resource.FieldError
			if err := tc.r.Validate(); !errors.As(err, &f) || f.Field != tc.field {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNodesHaveTheEdgesThatTheyNeed(t *testing.T) {
	w := newWorld(t, true)
	needs := map[string][]string{}
	for _, n := range nodes(t, append(api.Bootstrap("RegionOne", services(w)...), tenant(t)...)) {
		needs[n.ID] = n.Needs
	}
	for _, edge := range [][2]string{
		{"flavor:tiny", "endpoint:compute:public:RegionOne"}, {"router:demo/demo", "subnet:demo/demo"}, {"router:demo/demo", "subnet:public"},
		{"router:demo/demo", "network:public"}, {"image:proof", "image:kernel"}, {"role_assignment:glance/admin@service", "user:glance"},
		{"role_assignment:glance/service@service", "role:service"}, {"endpoint:image:admin:RegionOne", "service:image"}, {"subnet:demo/demo", "network:demo/demo"},
		{"quota:demo", "endpoint:compute:public:RegionOne"}, {"quota:demo", "endpoint:network:public:RegionOne"}, {"security_group:demo/web", "project:demo"},
	} {
		if !strings.Contains(strings.Join(needs["openstack/"+edge[0]], " ")+" ", "openstack/"+edge[1]+" ") {
			t.Errorf("%s does not need %s but %v", edge[0], edge[1], needs["openstack/"+edge[0]])
		}
	}
	if _, err := api.Nodes([]api.Resource{&api.Project{Name: "a"}, &api.Project{Name: "a", Description: "b"}}); err == nil {
		t.Error("two declarations of one thing are taken")
	}
}

func TestAStatusIsSaidOnce(t *testing.T) {
	for _, tc := range []struct{ message, want string }{
		{"503 Service Unavailable No server is available", "the API answers 503 Service Unavailable: No server is available"},
		{"503 Service Unavailable", "the API answers 503 Service Unavailable"},
		{"the service is down", "the API answers 503 Service Unavailable: the service is down"},
	} {
		if got := (&api.Error{Status: 503, Message: tc.message}).Error(); got != tc.want {
			t.Errorf("%q becomes %q, want %q", tc.message, got, tc.want)
		}
	}
}
