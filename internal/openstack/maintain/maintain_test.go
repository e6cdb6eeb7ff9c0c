package maintain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/maintain"
	"github.com/updraft-cloud/updraft/internal/openstack/masakari/watch"
	"github.com/updraft-cloud/updraft/internal/status"
)

type obj = map[string]any

// cloud is Nova and Masakari with what a compute needs, in memory. It refuses what
// it does not know.
type cloud struct {
	service obj
	away    bool
	busy    int // how often Masakari takes no word of the host
	servers map[string]obj
	fate    map[string]string // of servers that are asked to move: refused, back; else they arrive
	log     []string
}

func newCloud(servers ...obj) *cloud {
	c := &cloud{service: obj{"id": "s1", "host": "compute1", "status": "enabled"}, servers: map[string]obj{}, fate: map[string]string{}}
	for _, s := range servers {
		c.servers[s["id"].(string)] = s
	}
	return c
}

func running(id, state string) obj {
	return obj{"id": id, "name": "vm-" + id, "status": state, "OS-EXT-SRV-ATTR:host": "compute1"}
}

// died is a cloud whose compute has died, and was disabled before for a reason.
func died(before string) *cloud {
	c := newCloud()
	c.service["status"], c.service["disabled_reason"] = "disabled", watch.Reason+before
	return c
}

func (c *cloud) All(_ context.Context, _, path, _ string, out any) error {
	var all []obj
	switch path {
	case "os-services?binary=nova-compute":
		all = []obj{{"id": "s0", "host": "compute11", "status": "enabled"}, c.service}
	case "segments":
		all = []obj{{"uuid": "g1"}}
	case "segments/g1/hosts":
		all = []obj{{"uuid": "h0", "name": "compute11"}, {"uuid": "h1", "name": "compute1", "on_maintenance": c.away}}
	case "servers/detail?all_tenants=1&host=compute1":
		for _, id := range []string{"a", "b", "c"} {
			if s := c.servers[id]; s != nil {
				all = append(all, s)
			}
		}
	default:
		if !strings.HasPrefix(path, "os-migrations?instance_uuid=") {
			return fmt.Errorf("unknown: %s", path)
		}
		all = []obj{{"status": "error"}}
	}
	return recode(all, out)
}

func recode(in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}

func (c *cloud) Call(_ context.Context, _, method, path string, body, out any, _ string) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if method != "GET" {
		c.log = append(c.log, method+" "+path+" "+string(data))
	}
	switch id, rest, _ := strings.Cut(strings.TrimPrefix(path, "servers/"), "/"); {
	case path == "os-services/s1":
		return recode(body, &c.service)
	case path == "segments/g1/hosts/h1" && c.busy > 0:
		c.busy--
		return &api.Error{Status: 409, Message: "in-use to process notifications"}
	case path == "segments/g1/hosts/h1":
		c.away = body.(obj)["host"].(obj)["on_maintenance"].(bool)
		return nil
	case c.servers[id] != nil && rest == "action":
		s := c.servers[id]
		if c.fate[id] == "refused" {
			return errors.New("no valid host")
		}
		s["status"] = "MIGRATING"
		return nil
	case c.servers[id] != nil && method == "GET":
		s := c.servers[id]
		if err := recode(obj{"server": s}, out); err != nil {
			return err
		}
		if s["status"] == "MIGRATING" { // the next look sees how it ended
			s["status"] = "ACTIVE"
			if c.fate[id] != "back" {
				s["OS-EXT-SRV-ATTR:host"] = "compute2"
			}
		}
		return nil
	}
	return fmt.Errorf("unknown: %s %s", method, path)
}

func TestAComputeIsEmptiedAndComesBack(t *testing.T) {
	const away, back = `PUT os-services/s1 {"disabled_reason":"updraft: maintenance","status":"disabled"}`, `PUT os-services/s1 {"status":"enabled"}`
	move := func(id string) string {
		return `POST servers/` + id + `/action {"os-migrateLive":{"block_migration":"auto","host":null}}`
	}
	masakari := func(yes bool) string {
		return fmt.Sprintf(`PUT segments/g1/hosts/h1 {"host":{"on_maintenance":%t}}`, yes)
	}
	for _, tt := range []struct {
		rule  string
		cloud *cloud
		fate  map[string]string
		left  []string
		want  []string
	}{
		{rule: "what runs moves, what is off stays", cloud: newCloud(running("a", "ACTIVE"), running("b", "SHUTOFF"), running("c", "PAUSED")),
			want: []string{away, masakari(true), move("a"), move("c"), masakari(false), back}},
		{rule: "one on its way is waited for", cloud: newCloud(running("a", "MIGRATING")), want: []string{away, masakari(true), masakari(false), back}},
		{rule: "Masakari is waited for until it is done with the host", cloud: func() *cloud {
			c := newCloud()
			c.busy = 2
			return c
		}(), want: []string{away, masakari(true), masakari(true), masakari(true), masakari(false), back}},
		{rule: "what cannot move is named, with the reason", cloud: newCloud(running("a", "ACTIVE"), running("b", "ACTIVE"), running("c", "ERROR")),
			fate: map[string]string{"a": "refused", "b": "back"},
			left: []string{"vm-a (a): no valid host",
				`vm-b (b): its move ended with "error"; no other compute takes it: see updraft openstack -- server migration list --server b, and updraft logs compute1 -u nova-compute`,
				"vm-c (c): it is in ERROR; delete it, or reset its state and say this again"},
			want: []string{away, masakari(true), move("a"), move("b"), masakari(false), back}},
		{rule: "what a person has switched off stays so", cloud: func() *cloud {
			c := newCloud()
			c.service["status"], c.service["disabled_reason"] = "disabled", "smells of smoke"
			return c
		}(), want: []string{masakari(true), masakari(false)}},
		{rule: "one that has died is not used again while somebody works on it", cloud: died(""), want: []string{away, masakari(true), masakari(false), back}},
		{rule: "nor afterwards, if a person had switched it off", cloud: died("; before that: smells of smoke"),
			want: []string{strings.Replace(away, "updraft: maintenance", "smells of smoke", 1), masakari(true), masakari(false)}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.fate != nil {
					tt.cloud.fate = tt.fate
				}
				c := &maintain.Compute{API: tt.cloud, Name: "compute1", Recovery: true, Every: time.Second, Log: t.Logf}
				var left []string
				for range 2 { // said again, it only tries again what is left
					if err := c.KeepAway(t.Context()); err != nil {
						t.Fatal(err)
					}
					all, err := c.Empty(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					left = nil
					for _, l := range all {
						left = append(left, l.String())
					}
					if len(left) > 0 {
						break
					}
				}
				if diff := cmp.Diff(tt.left, left); diff != "" {
					t.Error(diff)
				}
				for range 2 {
					if err := c.Return(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(tt.want, tt.cloud.log); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAControllerIsTakenOutOnlyWhenTheOthersDoItsWork(t *testing.T) {
	whole := func() *status.Report {
		return &status.Report{
			Hosts:    []status.Host{{Name: "c1", State: status.Up}, {Name: "c2", State: status.Up}, {Name: "c3", State: status.Up}, {Name: "compute1", State: status.Off}},
			Clusters: []status.Cluster{{Name: "galera", Members: []status.Member{{Host: "c1", Serves: true}, {Host: "c2", Serves: true}, {Host: "c3", Serves: true}}}},
		}
	}
	all := []string{"c1", "c2", "c3"}
	for _, tt := range []struct {
		rule        string
		breaks      func(r *status.Report)
		controllers []string
		away        []string
		want        []string
	}{
		{"all is well, but for a compute", func(*status.Report) {}, all, nil, nil},
		{"the one itself may lack anything", func(r *status.Report) { r.Hosts[0].State, r.Clusters[0].Members[0].Serves = status.Silent, false }, all, nil, nil},
		{"another is off", func(r *status.Report) { r.Hosts[1].State = status.Off }, all, nil, []string{"c2 is off"}},
		{"another is in maintenance", func(r *status.Report) { r.Hosts[2].State = status.Off }, all, []string{"c3"}, []string{"c3 is in maintenance"}},
		{"another's member does not serve", func(r *status.Report) { r.Clusters[0].Members[1] = status.Member{Host: "c2", State: "joining"} }, all, nil,
			[]string{"galera on c2 does not serve (joining)"}},
		{"another's service is stopped", func(r *status.Report) {
			r.Hosts[1].Containers = []status.Container{{Name: "keystone", Health: status.Stopped}}
		}, all, nil, []string{"keystone on c2 is stopped"}},
		{"another differs, as when its copies are not healed", func(r *status.Report) { r.Hosts[1].Differ = 1 }, all, nil,
			[]string{"c2 is not as the cloud file says (updraft plan shows in what): updraft up first"}},
		{"it is one of two", func(*status.Report) {}, []string{"c1", "c2"}, nil, []string{"2 controllers cannot spare one: of two, neither is a majority"}},
		{"it is the only one", func(*status.Report) {}, []string{"c1"}, nil, []string{"it is the only controller"}},
	} {
		r := whole()
		tt.breaks(r)
		if diff := cmp.Diff(tt.want, maintain.Refusals(r, tt.controllers, "c1", tt.away)); diff != "" {
			t.Errorf("%s:\n%s", tt.rule, diff)
		}
	}
}

func TestTheListRemembers(t *testing.T) {
	l := maintain.Open(filepath.Join(t.TempDir(), "maintenance.json"))
	at := time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		host  string
		phase maintain.Phase
	}{{"c2", maintain.Entering}, {"c1", maintain.Entering}, {"c2", maintain.In}} {
		if err := l.Put(step.host, step.phase, at); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Hour)
	}
	if err := l.Drop("c1"); err != nil {
		t.Fatal(err)
	}
	got, err := l.All()
	want := []maintain.Entry{{Host: "c2", Phase: maintain.In, Since: time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}
