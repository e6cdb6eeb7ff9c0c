package check_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/api/apitest"
	"github.com/updraft-cloud/updraft/internal/openstack/check"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// place is a vantage point from which the cloud's floating IP is a server of the
// test's.
type place struct {
	web     *httptest.Server
	pings   func(addr string) error
	refuses bool
}

func (*place) Name() string { return "deployer" }

func (p *place) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == "192.0.2.10:80" {
		if p.refuses {
			return nil, errors.New("connection refused")
		}
		addr = p.web.Listener.Addr().String()
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func (p *place) Ping(_ context.Context, addr string) (time.Duration, error) {
	return time.Millisecond, p.pings(addr)
}

func (*place) Exchange(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("not asked for")
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{pings: func(addr string) error {
		if addr != "192.0.2.10" {
			return fmt.Errorf("nobody is at %s", addr)
		}
		return nil
	}}
	p.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	t.Cleanup(p.web.Close)
	return p
}

func newCloud(t *testing.T) *apitest.Cloud {
	t.Helper()
	c := apitest.New(t, false)
	c.Add("hypervisors", map[string]any{"hypervisor_hostname": "cmp1", "state": "up", "status": "enabled"})
	c.Add("compute_services", map[string]any{"binary": "nova-conductor", "host": "ctl1", "state": "up", "status": "enabled"})
	c.Add("agents", map[string]any{"agent_type": "OVN Controller agent", "host": "cmp1", "alive": true, "admin_state_up": true})
	c.Add("images", map[string]any{"name": "proof", "status": "active"})
	c.Add("flavors", map[string]any{"name": "proof"})
	for _, n := range []string{"proof", "public"} {
		c.Add("networks", map[string]any{"name": n})
	}
	c.Boot = func(server map[string]any) (string, string) {
		return fmt.Sprintf("kernel\r\nUPDRAFT-READY hostname=%s.novalocal instance-id=i-1 address=10.0.0.9/24", server["name"]), ""
	}
	return c
}

func kind(t *testing.T, c *apitest.Cloud, name string) verify.Kind {
	t.Helper()
	return kindWith(t, c, newSite(t, nil), name)
}

func kindWith(t *testing.T, c *apitest.Cloud, site, name string) verify.Kind {
	t.Helper()
	for _, k := range check.Kinds(check.Cloud{
		Access: api.Access{
			AuthURL: c.AuthURL(), CA: c.CA(), Region: "RegionOne", Timeout: 5 * time.Second,
			Password: func() (string, error) { return apitest.Password, nil },
		},
		Dashboard: site, Consoles: site,
	}) {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("there is no kind %s", name)
	return verify.Kind{}
}

func vm(t *testing.T, c *apitest.Cloud) *check.VM {
	t.Helper()
	v := kind(t, c, "vm").New().(*check.VM)
	v.Image, v.Flavor, v.Network, v.External, v.Contains = "proof", "proof", "proof", "public", "hello"
	if err := errors.Join(v.Validate(), v.Resolve(nil)); err != nil {
		t.Fatal(err)
	}
	return v
}

func run(ctx context.Context, c verify.Check, v verify.Vantage) verify.Result {
	return (&verify.Runner{}).Run(ctx, "test", []verify.Job{{Name: "check", Check: c, Vantage: v}}).Results[0]
}

func stages(r verify.Result) []string {
	var out []string
	for _, s := range r.Detail.(*check.VMDetail).Stages {
		out = append(out, s.Name)
	}
	return out
}

func TestAServerIsReachedAndNothingIsLeft(t *testing.T) {
	c := newCloud(t)
	before := c.String()
	r := run(t.Context(), vm(t, c), newPlace(t))
	if r.Status != verify.Passed {
		t.Fatalf("%s: %s", r.Status, r.Reason)
	}
	want := []string{"connect", "leftovers", "prepare", "active", "floating-ip", "console", "ping", "tcp", "http", "remove"}
	if diff := cmp.Diff(want, stages(r)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, c.String()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(r.Reason, "192.0.2.10 up after ") {
		t.Errorf("summary is %q", r.Reason)
	}
}

func TestAFailureNamesItsStageAndNothingIsLeft(t *testing.T) {
	short := verify.Duration(50 * time.Millisecond)
	for _, tc := range []struct {
		stage, reason string
		spoil         func(*apitest.Cloud, *check.VM, *place)
	}{
		{"prepare", "there is no image nothing", func(_ *apitest.Cloud, v *check.VM, _ *place) { v.Image = "nothing" }},
		{"active", "No valid host was found", func(c *apitest.Cloud, _ *check.VM, _ *place) {
			c.Boot = func(map[string]any) (string, string) { return "", "No valid host was found. " }
		}},
		{"console", "no line on the console matches the marker", func(_ *apitest.Cloud, v *check.VM, _ *place) { v.Marker, v.ConsoleWithin = "NEVER", short }},
		{"console", "does not hold 10.0.0.9", func(c *apitest.Cloud, v *check.VM, _ *place) {
			c.Boot = func(map[string]any) (string, string) {
				return "UPDRAFT-READY hostname= instance-id= address=169.254.0.1/16", ""
			}
			v.ConsoleWithin = short
		}},
		{"console", "does not hold updraft-vm-", func(c *apitest.Cloud, v *check.VM, _ *place) {
			c.Boot = func(map[string]any) (string, string) {
				return "UPDRAFT-READY hostname=404 instance-id= address=10.0.0.9/24", ""
			}
			v.ConsoleWithin = short
		}},
		{"ping", "does not answer from deployer", func(_ *apitest.Cloud, v *check.VM, p *place) {
			p.pings = func(string) error { return errors.New("no answer") }
			v.ReachWithin = short
		}},
		{"tcp", "connection refused", func(_ *apitest.Cloud, v *check.VM, p *place) { p.refuses, v.ReachWithin = true, short }},
		{"http", "expected 200", func(_ *apitest.Cloud, v *check.VM, _ *place) { v.Contains, v.ReachWithin = "bye", short }},
	} {
		t.Run(tc.stage+" "+tc.reason, func(t *testing.T) {
			c, p := newCloud(t), newPlace(t)
			v := vm(t, c)
			before := c.String()
			tc.spoil(c, v, p)
			r := run(t.Context(), v, p)
			if r.Status != verify.Failed || !strings.HasPrefix(r.Reason, tc.stage+": ") || !strings.Contains(r.Reason, tc.reason) {
				t.Errorf("%s: %s", r.Status, r.Reason)
			}
			if diff := cmp.Diff(before, c.String()); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if d := r.Detail.(*check.VMDetail); tc.stage == "console" && len(d.Console) == 0 || tc.stage == "active" && d.Fault == "" {
				t.Errorf("no fault and no console: %+v", d)
			}
		})
	}
}

func TestAServerWhoseDeletionFailedIsDeletedAgain(t *testing.T) {
	c := newCloud(t)
	before := c.String()
	c.Undeleted = 1
	if r := run(t.Context(), vm(t, c), newPlace(t)); r.Status != verify.Passed {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
	if diff := cmp.Diff(before, c.String()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestAnInterruptedCheckRemovesWhatItMade(t *testing.T) {
	c, p := newCloud(t), newPlace(t)
	before := c.String()
	ctx, cancel := context.WithCancel(t.Context())
	p.pings = func(string) error { cancel(); return errors.New("interrupted") }
	r := run(ctx, vm(t, c), p)
	if r.Status != verify.Skipped {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
	if diff := cmp.Diff(before, c.String()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestWhatAKilledRunLeftIsRemovedByTheNext(t *testing.T) {
	c, p := newCloud(t), newPlace(t)
	v := vm(t, c)
	before := c.String()
	c.CutAfter(5) // group, rules, server, floating IP: then updraft is killed
	if r := run(t.Context(), v, p); r.Status != verify.Failed && r.Status != verify.Errored {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
	c.Mend()
	if c.Count("servers") != 1 || c.Count("floatingips") != 1 {
		t.Fatal("nothing was left")
	}
	if r := run(t.Context(), v, p); r.Status != verify.Passed {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
	if diff := cmp.Diff(before, c.String()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestOthersThingsAreLeftAlone(t *testing.T) {
	c, p := newCloud(t), newPlace(t)
	v := vm(t, c)
	v.Keep = true
	r := run(t.Context(), v, p)
	name := r.Detail.(*check.VMDetail).Name
	if r.Status != verify.Passed || c.Servers() != `["`+name+`"]` {
		t.Fatalf("%s: %s; servers: %s", r.Status, r.Reason, c.Servers())
	}
	other := vm(t, c) // declared otherwise, so another check
	if r := run(t.Context(), other, p); r.Status != verify.Passed {
		t.Fatal(r.Reason)
	}
	c.Set("servers", name, map[string]any{"metadata": map[string]any{}, "group": nil})
	if r := run(t.Context(), v, p); r.Status != verify.Passed || c.Count("servers") != 2 {
		t.Errorf("%d servers: one without the tag was removed: %s", c.Count("servers"), r.Reason)
	}
}

func TestTheAPIIsAskedAndJudged(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		spoil        func(*apitest.Cloud, *check.OpenStack)
	}{
		{"all is well", "", func(*apitest.Cloud, *check.OpenStack) {}},
		{"a service that is down", "cannot list flavors: the API answers 503", func(c *apitest.Cloud, _ *check.OpenStack) { c.Down("compute", 503) }},
		{"a service that is not in the catalogue", "no such service: image", func(c *apitest.Cloud, _ *check.OpenStack) { c.Delete("services", "glance") }},
		{"a hypervisor that is down", "hypervisors are down: cmp1", func(c *apitest.Cloud, _ *check.OpenStack) {
			c.SetWhere("hypervisors", "hypervisor_hostname", "cmp1", map[string]any{"state": "down"})
		}},
		{"too few hypervisors", "1 hypervisors are up, 2 are to be", func(_ *apitest.Cloud, o *check.OpenStack) { o.Hypervisors = 2 }},
		{"a service of Nova that is down", "nova-conductor on ctl1", func(c *apitest.Cloud, _ *check.OpenStack) {
			c.SetWhere("compute_services", "binary", "nova-conductor", map[string]any{"state": "down"})
		}},
		{"an agent that is dead", "OVN Controller agent on cmp1", func(c *apitest.Cloud, _ *check.OpenStack) {
			c.SetWhere("agents", "host", "cmp1", map[string]any{"alive": false})
		}},
		{"what is not asked does not matter", "", func(c *apitest.Cloud, o *check.OpenStack) { c.Down("compute", 503); o.Services = []string{"image"} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCloud(t)
			o := kind(t, c, "openstack").New().(*check.OpenStack)
			tc.spoil(c, o)
			r := run(t.Context(), o, newPlace(t))
			if tc.reason == "" && r.Status != verify.Passed || tc.reason != "" && (r.Status != verify.Failed || !strings.Contains(r.Reason, tc.reason)) {
				t.Errorf("%s: %s", r.Status, r.Reason)
			}
			if changes := apitest.Changes(c.Calls()); len(changes) > 0 {
				t.Errorf("it changed something: %v", changes)
			}
			text, _ := json.Marshal(r)
			if strings.Contains(string(text), apitest.Password) {
				t.Error("the password is in the result")
			}
		})
	}
}

func TestDeclarationsAreJudged(t *testing.T) {
	c := newCloud(t)
	for _, tc := range []struct {
		field string
		spoil func(*check.VM)
	}{
		{"image", func(v *check.VM) { v.Image = "" }}, {"marker", func(v *check.VM) { v.Marker = "(" }},
		{"port", func(v *check.VM) { v.Port = 70000 }}, {"http", func(v *check.VM) { v.HTTP = "x" }},
		{"reach_within", func(v *check.VM) { v.ReachWithin = 0 }},
	} {
		v := vm(t, c)
		tc.spoil(v)
		if err := v.Validate(); err == nil || !strings.HasPrefix(err.Error(), tc.field+": ") {
			t.Errorf("%s: got %v", tc.field, err)
		}
	}
	if err := (&check.OpenStack{Services: []string{"load-balancer"}}).Validate(); err == nil {
		t.Error("an unknown service is taken")
	}
	for _, k := range check.Kinds(check.Cloud{}) {
		if k.Doc == "" || k.Example == "" || !slices.Contains([]string{"vm", "openstack"}, k.Name) {
			t.Errorf("kind %+v", k)
		}
	}
}
