package registry

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/image/registry"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
)

// tool is what images are built with; it has what it needs of its own.
const tool = "mmdebstrap"

// buildDir is where images are built, in a directory each. The log and the list of
// packages stay.
const buildDir = stack.DataRoot + "/images"

// buildName names the command that builds an image.
func buildName(image string) string { return "build image " + image }

// builds adds the builds of all images. One is done when the registry has it under
// its name, which is a digest of what it is made of.
func (c config) builds(b *stack.Builder) {
	b.Add(configset.Item{Resource: &pkg.Resource{Name: tool}, Needs: basebox.BeforePackages(b.D.Cloud, b.Host)})
	b.Add(configset.Item{Phase: engine.Build, Resource: &directory.Resource{
		Path: buildDir, Mode: "0700", Owner: "root", Group: "root", Disposable: true,
	}})
	for _, name := range slices.Sorted(maps.Keys(b.D.Recipes)) {
		ref := b.D.Release.Image(name)
		tag := ref[strings.LastIndex(ref, ":")+1:]
		b.Command(command.Resource{
			Name: buildName(name), Timeout: "60m", Stdin: b.D.Recipes[name],
			Run: []string{
				c.Program, "build", "-dir", path.Join(buildDir, name), "-registry", c.Listen, "-ca", stack.CAFile, "-password-file", c.Password,
			},
			Unless: "test -e " + registry.TagFile(c.Dir, "updraft/"+name, tag),
		}, engine.Build, "package:"+tool, "directory:"+buildDir, "file:"+stack.CAFile, "unit:"+Unit)
	}
}
