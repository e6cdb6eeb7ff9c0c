package lab_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// full makes a load balancer with something of every kind, and what operators
// define.
func (b *lbService) full() string {
	b.t.Helper()
	profile := b.must("POST", "flavorprofiles", item{"flavorprofile": item{"name": "fp", "provider_name": "amphora", "flavor_data": `{"loadbalancer_topology":"SINGLE"}`}})["flavorprofile"].(item)["id"]
	flavor := b.must("POST", "flavors", item{"flavor": item{"name": "f", "flavor_profile_id": profile}})["flavor"].(item)["id"]
	zones := b.must("POST", "availabilityzoneprofiles", item{"availability_zone_profile": item{"name": "zp", "provider_name": "amphora", "availability_zone_data": `{"compute_zone":"z"}`}})["availability_zone_profile"].(item)["id"]
	b.must("POST", "availabilityzones", item{"availability_zone": item{"name": "z", "availability_zone_profile_id": zones}})
	b.must("PUT", "quotas/project", item{"quota": item{"pool": 7}})
	lb := b.must("POST", "loadbalancers", item{"loadbalancer": item{"name": "full", "vip_subnet_id": b.subnets()["subnets"].([]any)[0].(item)["id"],
		"flavor_id": flavor, "availability_zone": "z", "tags": []string{"kept"}, "listeners": []item{{
			"protocol": "HTTP", "protocol_port": 80,
			"default_pool": item{"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "session_persistence": item{"type": "SOURCE_IP"},
				"members":       []item{{"address": "10.20.0.2", "protocol_port": 80}, {"address": "10.20.0.3", "protocol_port": 80, "weight": 0}},
				"healthmonitor": item{"type": "HTTP", "delay": 5, "timeout": 5, "max_retries": 3}},
			"l7policies": []item{{"action": "REDIRECT_TO_URL", "redirect_url": "http://example.org/", "rules": []item{{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}}}},
		}}}})["loadbalancer"].(item)["id"].(string)
	b.settled()
	return lb
}

// everything is what the API shows, as text. What controllers may change by
// themselves at any time is not in it.
func (b *lbService) everything(lb string) string {
	b.t.Helper()
	all := item{}
	for _, path := range []string{"loadbalancers", "listeners", "pools", "healthmonitors", "l7policies", "flavors", "flavorprofiles", "availabilityzones",
		"availabilityzoneprofiles", "quotas", "loadbalancers/" + lb + "/status"} {
		all[path] = b.must("GET", path, nil)
	}
	for _, p := range all["pools"].(item)["pools"].([]any) {
		all["members"] = b.must("GET", "pools/"+p.(item)["id"].(string)+"/members", nil)
	}
	for _, p := range all["l7policies"].(item)["l7policies"].([]any) {
		all["rules"] = b.must("GET", "l7policies/"+p.(item)["id"].(string)+"/rules", nil)
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// fails runs a command of updraft lb that must not succeed.
func (b *lbService) fails(args ...string) string {
	b.t.Helper()
	out, err := exec.Command(b.bin, append([]string{"lb", "--data", b.data}, args...)...).CombinedOutput()
	if err == nil {
		b.t.Errorf("lb %s succeeded: %s", strings.Join(args, " "), out)
	}
	return string(out)
}

func TestABackupOfLoadBalancersIsRestored(t *testing.T) {
	b := newLBService(t)
	b.args = append(b.local(), "--compute", "noop")
	b.serve()
	lb := b.full()
	want := b.everything(lb)
	file := filepath.Join(b.data, "backup")
	b.command("backup", file) // of a service that runs
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup can be read by others: %v %v", info, err)
	}
	if out := b.fails("restore", file); !strings.Contains(out, "not empty") {
		t.Errorf("over what is there: %s", out)
	}
	b.stop("serve")

	if err := os.RemoveAll(filepath.Join(b.data, "store")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b.write("half", string(data[:len(data)/2]))
	b.fails("restore", filepath.Join(b.data, "half"))
	b.command("restore", file) // nothing is left of the half
	if out := b.command("check"); !strings.Contains(out, "all invariants hold") {
		t.Errorf("afterwards: %s", out)
	}
	b.serve()
	b.settled()
	if got := b.everything(lb); got != want {
		t.Errorf("what was restored differs:\n%s\nfrom\n%s", got, want)
	}
	b.must("DELETE", "loadbalancers/"+lb+"?cascade=true", nil) // it can be worked with
	b.until(30*time.Second, "it is gone", func() bool { return len(b.loadBalancers()) == 0 })
	b.stop("serve")
}

// etcdFiles are the authority by which etcds and their clients know each other, a
// certificate and its key.
func (b *lbService) etcdFiles() (ca, cert, key string) {
	b.t.Helper()
	authority, err := pki.NewAuthority("etcd", time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	c, k, err := authority.Issue("etcd", []string{"127.0.0.1"}, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return b.write("etcd-ca.pem", authority.Cert), b.write("etcd.pem", c), b.write("etcd.key", k)
}

// etcds starts three real etcds, and returns what "updraft lb" is told of them and
// how one of them is started.
func (b *lbService) etcds() (flags []string, start func(n int)) {
	b.t.Helper()
	ca, cert, key := b.etcdFiles()
	program := filepath.Join(imageRoot(b.t, "infra"), "usr", "bin", "etcd")
	address := func(scheme string, n, port int) string { return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port+n) }
	var cluster, clients []string
	for n := range 3 {
		cluster = append(cluster, fmt.Sprintf("etcd%d=%s", n, address("http", n, 2380)))
		clients = append(clients, address("https", n, 2370))
	}
	start = func(n int) {
		name := fmt.Sprintf("etcd%d", n)
		log, err := os.OpenFile(filepath.Join(b.data, name+".log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			b.t.Fatal(err)
		}
		cmd := exec.Command(program, "--name", name, "--data-dir", filepath.Join(b.data, name), "--initial-cluster", strings.Join(cluster, ","), "--log-level", "error",
			"--listen-peer-urls", address("http", n, 2380), "--initial-advertise-peer-urls", address("http", n, 2380),
			"--listen-client-urls", address("https", n, 2370), "--advertise-client-urls", address("https", n, 2370),
			"--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth")
		cmd.Stdout, cmd.Stderr = log, log
		if err := b.ns.Do(cmd.Start); err != nil {
			b.t.Fatal(err)
		}
		b.processes[name], b.logs[name] = cmd, log
	}
	for n := range 3 {
		start(n)
	}
	return []string{"--etcd", strings.Join(clients, ","), "--etcd-ca", ca, "--etcd-cert", cert, "--etcd-key", key}, start
}

// TestAPIsAndControllersAreApartOnThreeEtcds loses one etcd, then the majority, and
// gets them back: what was acknowledged is there, and nobody has to help.
func TestAPIsAndControllersAreApartOnThreeEtcds(t *testing.T) {
	b := newLBService(t)
	etcd, start := b.etcds()
	more := append([]string{"--compute", "noop", "--network", "noop"}, etcd...)
	for _, n := range []string{"9876", "9877"} {
		b.start("api"+n, append([]string{"api", "--listen", "127.0.0.1:" + n}, more...)...)
		b.start("controller"+n, append([]string{"controller", "--name", "c" + n}, more...)...)
	}
	b.awaitAPI("127.0.0.1:9876")
	b.awaitAPI("127.0.0.1:9877")
	acknowledged := map[string]bool{}
	create := func() int {
		status, out, err := b.call("POST", "loadbalancers", item{"loadbalancer": item{"vip_subnet_id": "0aaaaaaa-0000-4000-8000-000000000001"}})
		if err != nil {
			t.Fatal(err)
		}
		if status == http.StatusCreated {
			acknowledged[out["loadbalancer"].(item)["id"].(string)] = true
		}
		return status
	}
	works := func(when string) {
		b.until(time.Minute, "a load balancer is made "+when, func() bool { return create() == http.StatusCreated })
		b.settled()
	}
	works("at first")
	for n := range 3 { // one of them leads
		name := fmt.Sprintf("etcd%d", n)
		b.kill(name)
		works("without " + name)
		start(n)
	}
	b.kill("etcd0")
	b.kill("etcd1")
	var retry string
	b.until(time.Minute, "writes are refused", func() bool {
		var status int
		status, retry = b.post("9877")
		return status == http.StatusServiceUnavailable
	})
	if retry == "" {
		t.Error("nobody says when to come back")
	}
	if got := len(b.loadBalancers()); got < len(acknowledged) {
		t.Errorf("%d load balancers are shown without a majority, %d were made", got, len(acknowledged))
	}
	start(0)
	start(1)
	works("when they are back")
	for id := range acknowledged {
		b.awaitStatus(id, "ACTIVE")
	}
	var out []byte
	err := b.ns.Do(func() (err error) {
		out, err = exec.Command(b.bin, append([]string{"lb", "check"}, etcd...)...).CombinedOutput()
		return err
	})
	if err != nil || !strings.Contains(string(out), "all invariants hold") {
		t.Errorf("afterwards: %v: %s", err, out)
	}
	for _, n := range []string{"9876", "9877"} {
		b.stop("api" + n)
		b.stop("controller" + n)
	}
}

// post asks for a load balancer at another port, and returns when to come back.
func (b *lbService) post(port string) (status int, retry string) {
	b.t.Helper()
	body := bytes.NewReader([]byte(`{"loadbalancer":{"project_id":"project","vip_subnet_id":"0aaaaaaa-0000-4000-8000-000000000001"}}`))
	resp, err := b.http.Post("http://127.0.0.1:"+port+"/v2/lbaas/loadbalancers", "application/json", body)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Retry-After")
}
