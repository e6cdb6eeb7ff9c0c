package work

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

// Cloud says what a cloud file is to hold.
type Cloud struct {
	Name     string
	CIDR     string
	Hosts    int    // h1, h2, …
	Control  bool   // one more, called ctl
	Packages string // in the root file system of all
	Work     Work   // of the hosts h1, h2, …
}

// File returns the cloud file.
func (c Cloud) File() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ncloud: %s\nprovider: {lab: {packages: %q}}\n", c.Name, c.Packages)
	fmt.Fprintf(&b, "networks:\n  mgmt: {cidr: %s}\ngroups:\n", c.CIDR)
	if c.Control {
		b.WriteString("  ctl: {hosts: [ctl]}\n")
	}
	fmt.Fprintf(&b, "  h:\n    count: %d\n", c.Hosts)
	if c.Work.Count() > 0 {
		b.WriteString("    resources:\n")
		c.Work.resources(&b)
	}
	return b.String()
}

// resources writes the work as inline resources. JSON is YAML, too.
func (w Work) resources(b *strings.Builder) {
	add := func(kind string, r any) {
		data, err := json.Marshal(map[string]any{kind: r})
		if err != nil {
			panic(err) // plain structs always encode
		}
		fmt.Fprintf(b, "      - %s\n", data)
	}
	yes, no := true, false
	for _, d := range w.Dirs {
		add("directory", directory.Resource{Path: d, Mode: "0755", Owner: "root", Group: "root"})
	}
	for _, f := range w.Files {
		add("file", file.Resource{
			Path: f.Path, Content: f.content("{{.Host.Name}}"), Template: true, Mode: "0644", Owner: "root", Group: "root",
		})
	}
	for _, u := range w.Users {
		add("user", user.Resource{Name: u.Name, UID: u.UID, Shell: u.Shell, CreateHome: &no})
	}
	for _, p := range w.Packages {
		add("package", pkg.Resource{Name: p})
	}
	for _, u := range w.Units {
		add("unit", unit.Resource{Name: u, Enabled: &yes, State: "started"})
	}
}
