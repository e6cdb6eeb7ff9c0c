package status_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/status"
)

var update = flag.Bool("update", false, "write the golden files")

var at = time.Unix(1_795_000_000, 0)

// answer is what a host prints.
const answer = `@@ host
now 1795000000.250000000
uptime 7322
load 0.42
cpus 2
memory 8589934592 17179869184
memory 1610612736 3221225472
@@ disks
4194304 41943040 /
1024 2048 /var/lib/updraft
@@ addresses
127.0.0.1/8
10.88.0.11/24
10.88.0.10/32
@@ failed
@@ containers
Id=keystone.service
ActiveState=active
SubState=running
NRestarts=0

NRestarts=14
ActiveState=activating
SubState=auto-restart
Id=glance.service

Id=nova-api.service
ActiveState=failed
SubState=failed
NRestarts=5
@@ cluster galera
state synced
@@ end
`

func up(t *testing.T, name, printed string) status.Host {
	t.Helper()
	h := status.Host{Name: name, Address: "10.88.0.11", Resources: 40}
	if err := status.Parse(&h, printed, at); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParseReadsWhatAHostPrints(t *testing.T) {
	h := up(t, "controller1", answer)
	if h.State != status.Up || h.Uptime != 7322*time.Second || h.Load != 0.42 || h.CPUs != 2 || h.Ahead != 250*time.Millisecond {
		t.Errorf("figures: %+v", h)
	}
	if h.Memory != (status.Usage{Used: 1610612736, Total: 3221225472}) {
		t.Errorf("a host with a limit has it as its memory; got %+v", h.Memory)
	}
	if len(h.Disks) != 2 || h.Disks[0] != (status.Disk{Mount: "/", Usage: status.Usage{Used: 4 << 30, Total: 40 << 30}}) {
		t.Errorf("disks: %+v", h.Disks)
	}
	want := []status.Container{{"glance", status.Restarting, 14}, {"keystone", status.Healthy, 0}, {"nova-api", status.Stopped, 5}}
	if diff := cmp.Diff(want, h.Containers); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestParseRefusesAnAnswerThatWasCutOff(t *testing.T) {
	var h status.Host
	if err := status.Parse(&h, strings.TrimSuffix(answer, "@@ end\n"), at); err == nil {
		t.Error("an answer without an end was taken")
	}
}

// said makes members whose state is the word after "state", and which serve when it
// is "synced".
func said(printed string) status.Member {
	f := strings.Fields(printed + " - - - -")
	return status.Member{State: f[1], Serves: f[1] == "synced", Identity: f[3]}
}

func host(name, galera string) string {
	return "@@ host\nnow 1795000000.0\nuptime 60\nload 0.1\ncpus 2\nmemory 1 4294967296\n@@ cluster galera\n" + galera + "\n@@ end\n"
}

func TestJudge(t *testing.T) {
	hosts := []string{"c1", "c2", "c3"}
	galera := status.Ensemble{Name: "galera", Hosts: hosts, Read: said}
	for _, c := range []struct {
		name string
		said []string // by each host; "" is off
		want []string
	}{
		{"three members that serve are well", []string{"state synced", "state synced", "state synced"}, nil},
		{"one of three away is told by its host alone", []string{"state synced", "state synced", ""}, []string{"c3 is off"}},
		{"a member that joins is told", []string{"state synced", "state synced", "state joining"}, []string{"galera on c3 does not serve: joining"}},
		{"two of three away leave no quorum", []string{"state synced", "", ""}, []string{"c2 is off", "c3 is off", "galera has no quorum: 1 of 3 serve"}},
		{"two clusters beside each other are a split", []string{"state synced x A", "state synced x B", "state synced x A"}, []string{"galera is split: c1 and c2 are in different clusters"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &status.Report{Cloud: "test", At: at}
			for i, name := range hosts {
				if c.said[i] == "" {
					r.Hosts = append(r.Hosts, status.Host{Name: name, State: status.Off})
					continue
				}
				r.Hosts = append(r.Hosts, up(t, name, host(name, c.said[i])))
			}
			status.Judge(r, []status.Ensemble{galera}, nil)
			var got []string
			for _, p := range r.Problems {
				got = append(got, p.What)
				if p.Mend == "" {
					t.Errorf("%q says nothing of what to do", p.What)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if r.OK != (len(c.want) == 0) {
				t.Errorf("OK is %v", r.OK)
			}
		})
	}
}

func TestNothingThereIsOneProblem(t *testing.T) {
	r := &status.Report{Cloud: "test", At: at, Hosts: []status.Host{{Name: "a", State: status.Missing}, {Name: "b", State: status.Missing}}}
	r.VIPs = []status.VIP{{Name: "api", Address: "10.88.0.10"}}
	status.Judge(r, nil, nil)
	if len(r.Problems) != 1 || r.Problems[0].What != "nothing of test is there" {
		t.Errorf("%+v", r.Problems)
	}
}

func TestText(t *testing.T) {
	bad := &status.Report{
		Cloud: "openstack", At: at, Took: 1400 * time.Millisecond,
		Hosts: []status.Host{up(t, "controller1", answer), {Name: "compute1", Address: "10.88.0.12", State: status.Off, Differ: -1}},
		VIPs:  []status.VIP{{Name: "api", Address: "10.88.0.10"}},
		Services: []status.Service{
			{Name: "nova-compute", Host: "compute1"}, {Name: "nova-scheduler", Host: "controller1", Up: true},
			{Name: "nova-compute", Host: "compute2", Disabled: true},
		},
		Certificates: []status.Certificate{{"ovn-compute1", at.Add(300 * 24 * time.Hour)}, {"haproxy", at.Add(30 * 24 * time.Hour)}},
		Capacity: &status.Capacity{
			Hypervisors: 1, Servers: 3, VCPUs: status.Usage{Used: 3, Total: 8}, Memory: status.Usage{Used: 3 << 29, Total: 3 << 30}, Disk: status.Usage{Used: 3 << 30, Total: 40 << 30},
		},
	}
	bad.Hosts[0].Differ = 2
	bad.Notes = []status.Problem{{What: "phase 2 of 3 of something", Mend: "updraft up goes on"}}
	status.Judge(bad, []status.Ensemble{{Name: "galera", Hosts: []string{"controller1"}, Read: said}}, nil)
	good := &status.Report{Cloud: "web", At: at, Took: 200 * time.Millisecond, Hosts: []status.Host{up(t, "web1", host("web1", ""))}}
	status.Judge(good, nil, nil)
	for name, r := range map[string]*status.Report{"bad": bad, "good": good} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := status.Text(&b, r, false); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}
