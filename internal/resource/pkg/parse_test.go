package pkg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

func TestParseStatus(t *testing.T) {
	const text = `Package: good
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 1:2.3-4
Description: one
 Package: not-a-field
 Status: install ok half-installed

Package: good
Status: install ok installed
Architecture: i386
Version: 1:2.3-4

Package: held
Status: hold ok installed
Version: 1

Package: half
Status: install ok half-configured
Version: 2

Package: waits
Status: install ok triggers-pending
Version: 3

Package: again
Status: install reinstreq installed
Version: 4

Package: gone
Status: deinstall ok config-files
Version: 5

this is no field at all
:

Status: install ok installed
Version: 6

Package: cut-off
Status: install ok`
	got := parseStatus([]byte(text))
	for name, want := range map[string]status{
		"good": {Installed, "1:2.3-4"}, "good:i386": {Installed, "1:2.3-4"}, "good:amd64": {Installed, "1:2.3-4"},
		"held": {Installed, "1"}, "half": {"half-configured", "2"}, "waits": {Installed, "3"}, "again": {"reinstreq", "4"},
		"gone": {}, "cut-off": {}, "not-a-field": {},
	} {
		if got[name] != want {
			t.Errorf("%s is %+v, want %+v", name, got[name], want)
		}
	}
	if len(got) != 7 {
		t.Errorf("there are %d entries: %v", len(got), got)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, s := range parseStatus(data) {
			if name == "" || s.state == "" {
				t.Errorf("entry %q is %+v", name, s)
			}
		}
	})
}

func BenchmarkParseStatus(b *testing.B) {
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "Package: package-%d\nStatus: install ok installed\nPriority: optional\nArchitecture: amd64\nVersion: 1.%d-1\n"+
			"Depends: libc6 (>= 2.36)\nDescription: a package\n%s\n", i, i, strings.Repeat(" with a line of description that is as long as they are\n", 10))
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		parseStatus(data)
	}
}

// The messages are those of apt 3.0 and dpkg 1.22 in the C locale.
func TestAptErrors(t *testing.T) {
	some := []*Resource{{Name: "nginx"}, {Name: "libc6:i386"}}
	for _, c := range []struct {
		reason, text string
		class        retry.Class
		about        string
		want         string
	}{
		{"a package that is not known", "E: Unable to locate package nginx\n", retry.Permanent, "nginx", "there is no package \"nginx\""},
		{"of another architecture", "E: Unable to locate package libc6:i386\n", retry.Permanent, "libc6:i386", "there is no package \"libc6:i386\""},
		{"one that is only referred to", "E: Package 'nginx' has no installation candidate\n", retry.Permanent, "nginx", "there is no package"},
		{"a version", "E: Version '9' for 'nginx' was not found\n", retry.Permanent, "nginx", "there is no version \"9\""},
		{
			"a held lock", "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)\nE: Unable to acquire the dpkg frontend lock\n",
			retry.Transient, "", "cannot install: Could not get lock",
		},
		{"a name that is not resolved", "E: Failed to fetch http://m/x.deb  Temporary failure resolving 'm'\n", retry.Transient, "", "Temporary failure"},
		{"a mirror that is being written", "E: Failed to fetch http://m/x.deb  Hash Sum mismatch\n", retry.Transient, "", "Hash Sum"},
		{"a full disk", "E: You don't have enough free space in /var/cache/apt/archives/.\n", retry.Permanent, "", "free space"},
		{"a full disk on the way", "E: Failed to fetch http://m/x.deb  Error writing to output file - write (28: No space left on device)\n", retry.Permanent, "", "No space"},
		{
			"a script that fails", "dpkg: error processing package nginx (--configure):\n installed nginx package post-installation script failed\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n",
			retry.Permanent, "nginx", "cannot install: dpkg: error processing package nginx",
		},
		{
			"an archive that is broken", "dpkg: error processing archive /var/cache/apt/archives/nginx_1.2-3_amd64.deb (--unpack):\n trying to overwrite\n",
			retry.Permanent, "nginx", "error processing archive",
		},
		{"packages that exclude each other", "E: Unable to correct problems, you have held broken packages.\n", retry.Permanent, "", "held broken packages"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			err := aptError("install", resource.Output{Stderr: []byte(c.text)}, &resource.ExitError{Command: "apt-get", Code: 100}, some)
			about := ""
			var p *packageError
			if errors.As(err, &p) {
				about = p.name
			}
			if retry.ClassOf(err) != c.class || about != c.about || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %s about %q: %v", retry.ClassOf(err), about, err)
			}
		})
	}
}

func TestClosest(t *testing.T) {
	known := []string{"nginx", "nginx-common", "htop", "haproxy"}
	for name, want := range map[string]string{"nginxx": "nginx", "haproxi": "haproxy", "htop-": "htop", "zzz": ""} {
		if got := closest(name, known); got != want {
			t.Errorf("closest to %s is %q, want %q", name, got, want)
		}
	}
}

func TestPinsHaveNamesThatAptReads(t *testing.T) {
	for name, want := range map[string]string{
		"g++":        "/etc/apt/preferences.d/updraft-g_plus_plus.pref",
		"libc6:i386": "/etc/apt/preferences.d/updraft-libc6_i386.pref",
		"python3.13": "/etc/apt/preferences.d/updraft-python3.13.pref",
	} {
		if got := pinPath(name); got != want {
			t.Errorf("pin of %s is %s, want %s", name, got, want)
		}
	}
}
