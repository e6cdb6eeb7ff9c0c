package stack

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// Runtime adds directories of root's below /run, which every boot of the host
// makes anew before containers start, and returns a reference to them.
//
// Source: tmpfiles.d(5).
func (b *Builder) Runtime(paths ...string) string {
	var text, there []string
	for _, p := range paths {
		text = append(text, "d "+p+" 0755 root root -\n")
		there = append(there, "test -d "+p)
	}
	conf := fmt.Sprintf("/etc/tmpfiles.d/updraft-%s.conf", b.Service)
	b.Add(configset.Item{
		Resource: &file.Resource{Path: conf, Content: Header + strings.Join(text, ""), Mode: "0644", Owner: "root", Group: "root"},
		Phase:    engine.Configure,
	})
	name := b.Service + " runtime directories"
	b.Command(command.Resource{Name: name, Run: []string{"systemd-tmpfiles", "--create", conf}, Unless: strings.Join(there, " && ")}, engine.Configure, "file:"+conf)
	return "command:" + name
}
