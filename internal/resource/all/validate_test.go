package all_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/all"
)

// TestValidateNamesTheFieldAtFault gives bodies with one fault each.
func TestValidateNamesTheFieldAtFault(t *testing.T) {
	for _, c := range []struct{ name, kind, body, field string }{
		{"a directory without a path", "directory", `{}`, "path"},
		{"a group with a bad name", "group", `{"name":"No Way"}`, "name"},
		{"a group with a negative number", "group", `{"name":"a","gid":-1}`, "gid"},
		{"a user with a bad name", "user", `{"name":"-rf"}`, "name"},
		{"a user with a colon in the comment", "user", `{"name":"a","comment":"x:0:0"}`, "comment"},
		{"a user with a relative home", "user", `{"name":"a","home":"home/a"}`, "home"},
		{"a user with a colon in the shell", "user", `{"name":"a","shell":"/bin/sh:x"}`, "shell"},
		{"a user with a plain password", "user", `{"name":"a","password_hash":"sesame"}`, "password_hash"},
		{"a user with a line break in the password", "user", `{"name":"a","password_hash":"$6$a$b\nroot:"}`, "password_hash"},
		{"a user in a group that is no name", "user", `{"name":"a","groups":["a,b"]}`, "groups"},
		{"a link to nothing", "symlink", `{"path":"/a"}`, "target"},
		{"a link to itself", "symlink", `{"path":"/a","target":"/a"}`, "target"},
		{"a setting that climbs", "sysctl", `{"name":"net.../../etc","value":"1"}`, "name"},
		{"a setting that climbs by slashes", "sysctl", `{"name":"net.//.a","value":"1"}`, "name"},
		{"a setting without a value", "sysctl", `{"name":"a.b","value":" "}`, "value"},
		{"a setting of two lines", "sysctl", `{"name":"a.b","value":"1\nc.d = 2"}`, "value"},
		{"a mount with a blank in the type", "mount", `{"target":"/a","source":"b","fstype":"ext4 x"}`, "fstype"},
		{"a mount with an option of two", "mount", `{"target":"/a","source":"b","fstype":"ext4","options":["a,b"]}`, "options"},
		{"a mount whose source is an option", "mount", `{"target":"/a","source":"-oloop","fstype":"ext4"}`, "source"},
		{"a mount in a state unknown", "mount", `{"target":"/a","source":"b","fstype":"ext4","state":"gone"}`, "state"},
		{"a host name with an underscore", "hostname", `{"name":"a_b"}`, "name"},
		{"a host name of 65 characters", "hostname", `{"name":"` + strings.Repeat("a", 65) + `"}`, "name"},
		{"no hosts", "hosts", `{}`, "entries"},
		{"a host without a name", "hosts", `{"entries":[{"ip":"192.0.2.1"}]}`, "entries"},
		{"a host with a bad address", "hosts", `{"entries":[{"ip":"192.0.2","names":["a"]}]}`, "entries"},
		{"a host whose name breaks the line", "hosts", `{"entries":[{"ip":"192.0.2.1","names":["a\nb"]}]}`, "entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := all.Registry().Decode(c.kind, json.RawMessage(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field+":") {
				t.Errorf("error is %v, want one of field %s", err, c.field)
			}
		})
	}
}
