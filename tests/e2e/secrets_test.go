package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret"
)

// spyEvery is how often a spy looks. Jobs on hosts take seconds.
const spyEvery = 100 * time.Millisecond

// spy keeps the arguments and the environment of every process of this computer,
// and so of all hosts of a lab, from now on.
type spy struct {
	stop chan struct{}
	done sync.WaitGroup
	saw  map[string]bool
}

// watchProcesses starts a spy, which ends with the test at the latest.
func watchProcesses(t *testing.T) *spy {
	s := &spy{stop: make(chan struct{}), saw: map[string]bool{}}
	s.done.Go(func() {
		tick := time.NewTicker(spyEvery)
		defer tick.Stop()
		for {
			s.look()
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { s.report() })
	return s
}

func (s *spy) look() {
	for _, what := range []string{"cmdline", "environ"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + what) // the pattern is good
		for _, f := range files {
			if data, err := os.ReadFile(f); err == nil { // it may have ended
				s.saw[string(data)] = true
			}
		}
	}
}

// report ends the spy, and returns what it saw.
func (s *spy) report() string {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.done.Wait()
	return strings.Join(slices.Sorted(maps.Keys(s.saw)), "\n\n")
}

// noSecrets looks for every secret of the cloud in what updraft shows and keeps,
// and in what the hosts show and write.
func noSecrets(t *testing.T, c *cloud, up output, processes string) {
	look := c.secretFinder(t)
	look("the run", up.all())
	look("plan --json", c.run("plan", "--json").stdout)
	for _, name := range []string{"state.json", "journal.jsonl"} {
		if data, err := os.ReadFile(filepath.Join(c.state, "clouds", c.name, name)); err == nil && len(data) > 0 {
			look(name, string(data))
		}
	}
	runs, err := filepath.Glob(filepath.Join(c.state, "clouds", c.name, "runs", "*"))
	if err != nil || len(runs) == 0 {
		t.Fatalf("no runs are kept: %v", err)
	}
	for _, run := range runs {
		data, err := os.ReadFile(run)
		if err != nil {
			t.Fatal(err)
		}
		look(run, string(data))
	}
	for _, job := range []string{"keystone-manage", "nova-manage", "neutron-db-manage"} {
		if !strings.Contains(processes, job) {
			t.Errorf("the spy has not seen %s: it proves nothing", job)
		}
	}
	look("processes while it was made", processes)
	look("the bundle", bundled(t, c))
	look("journals", c.run("exec", "all", "--", "journalctl", "--no-pager", "-o", "cat").stdout)
}

// secretFinder returns what fails the test for each secret of the cloud that is in
// a text.
func (c *cloud) secretFinder(t *testing.T) func(where, text string) {
	t.Helper()
	store, err := secret.Open(secret.Options{
		Cloud: c.name, Dir: filepath.Join(c.state, "clouds", c.name),
		Identity: secret.Identity{Path: filepath.Join(c.state, secret.IdentityName)},
	})
	if err != nil {
		t.Fatal(err)
	}
	red := store.Redactor()
	if n := len(store.List()); n < 15 {
		t.Fatalf("there are only %d secrets: the search proves nothing", n)
	}
	return func(where, text string) {
		t.Helper()
		if len(text) == 0 {
			t.Errorf("there is nothing to look at: %s", where)
		}
		for _, hit := range red.Find([]byte(text)) {
			t.Errorf("%s: %+v", where, hit)
		}
	}
}

// noSecretsInPlans changes every file of configuration on the hosts, so that a plan
// has something to say of each. Keystone's keys stay: it would answer nobody. The
// next up writes all anew.
func noSecretsInPlans(t *testing.T, c *cloud) {
	c.run("exec", "all", "--", "sh", "-c", `find /etc/updraft -type f ! -path '*-keys/*' | while read -r f; do echo '# changed' >>"$f"; done`)
	look := c.secretFinder(t)
	for _, args := range [][]string{{"plan", "--diff"}, {"plan", "--json"}} {
		out, _ := c.try(args...)
		for _, file := range []string{"/keystone.conf", "/admin-password", "/haproxy/vip.pem", "/nova.conf", "/mariadb/tls.pem"} {
			if !strings.Contains(out.stdout, file) {
				t.Errorf("%v ends with %d and does not show %s:\n%s", args, out.code, file, out.stderr)
			}
		}
		look(strings.Join(args, " "), out.all())
	}
}
