package container

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestQuadletFiles(t *testing.T) {
	for name, r := range map[string]Resource{
		"small": {Name: "cache", Image: "docker.io/library/memcached:1", Init: true},
		"words": {
			Name: "words", Image: "localhost/updraft/x:1",
			Exec: []string{"a b", `"quoted"`, "it's", `back\slash`, "100% %n", "$HOME ${HOME}", "new\nline\ttab", "ü", "#", "a;b", "~*", "trailing\\", "="},
			Env:  map[string]string{"A": "", "B": `a "b" $C %d 'e' \`, "C": "two\nlines"},
		},
		"all": {
			Name: "all", Image: "localhost/updraft/x:1", Exec: []string{"haproxy", "-W", "-f", "/etc/haproxy"}, User: "613:613",
			Volumes:    []Volume{{Source: "/etc/updraft/haproxy", Target: "/etc/haproxy", Options: "ro"}, {Source: "/run/netns", Target: "/run/netns", Options: "rshared"}, {Source: "/dev", Target: "/dev"}},
			Privileged: true, PIDHost: true, Cgroups: "split", Memory: 512 << 20, CPUs: 0.25, NoFile: 65536, After: []string{"mariadb", "ovn-nb"},
			PartOf: []string{"mariadb"}, BeforeStart: []string{"/usr/bin/bash", "/etc/x.sh", "enter"}, BeforeStop: []string{"/usr/bin/bash", "/etc/x.sh", "50%"},
			ReloadOn: []string{"/etc/updraft/haproxy"}, Reload: []string{"kill", "-USR2"}, StopTimeout: "1500ms", StartTimeout: "10m",
		},
		"reload": {Name: "dns", Image: "localhost/updraft/x:1", ReloadOn: []string{"/etc/x"}, Reload: []string{"rndc", "reload", "a zone"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".container")
			got := r.render()
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
