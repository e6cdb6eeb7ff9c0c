// Package registry is the cloud's own registry of container images, on its first
// controller, from which all hosts pull. It is there only where the cloud file says
// images: registry.
//
// It serves over TLS with a certificate of the cloud's authority. Whoever reaches
// the network of the APIs may pull: the images are made of the distribution's
// packages and hold nothing of the cloud. Only updraft, which has the password, may
// push. It is a program of updraft's own and no container, since a host without
// images could not run one (docs/adr/0011-registry-on-the-controller.md).
package registry

import (
	_ "embed"
	"net"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/group"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	account "github.com/updraft-cloud/updraft/internal/resource/user"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = "registry"
	// Scope is the scope of the graph for what is in the registry.
	Scope = "registry"
	// Unit is its unit of systemd, which is active as soon as it serves.
	Unit    = "updraft-registry.service"
	program = stack.ProgramDir + "/updraft-registry"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "The cloud's own registry of container images, on the first controller.", Build: build}
}

// Address is where it answers, as HOST:PORT. References of images begin with it.
func Address(o *spec.OpenStack) string {
	at := o.Controllers[0].AddressOn(o.VIP.Network)
	return net.JoinHostPort(at.String(), strconv.Itoa(stack.RegistryPort))
}

// Image is the reference of what brings an image into the registry: a push by the
// deployer, or a build on the first controller.
func Image(d *stack.Deployment, name string) string {
	if d.Spec.Build == spec.BuildController {
		return stack.OnHost(d.First(), "command:"+buildName(name))
	}
	return Pushed(name)
}

// Pushed is the node of an image in the registry that the deployer pushed.
func Pushed(name string) string { return Scope + "/container-image:" + name }

// Answers is the reference of what must be in place before it can be asked anything.
func Answers(d *stack.Deployment) string { return stack.OnHost(d.First(), "unit:"+Unit) }

func build(d *stack.Deployment) []stack.Item {
	if !d.FromRegistry() {
		return nil
	}
	b := d.On(d.First(), name)
	cert, key := d.Secrets.Certificate(name, d.Address(d.First()))
	owner := strconv.Itoa(d.Release.UID(name))
	addUser(b, d.Release.UID(name))
	b.Dir(stack.ConfigDir(name), "", "0755")
	b.Add(configset.Item{Phase: engine.Configure, Resource: &directory.Resource{
		Path: stack.DataDir(name), Mode: "0750", Owner: owner, Group: owner, Disposable: true,
	}})
	files := config{
		Program: b.Program(program, d.RegistryProgram), Dir: stack.DataDir(name), Listen: Address(d.Spec),
		// One file, so that a certificate is never there with another's key.
		Certificate: b.Secret("registry.pem", cert+key, name),
		Password:    b.Secret("password", d.Secrets.Password(stack.SecretRegistry)+"\n", name),
	}
	b.Add(files.unit())
	if d.Spec.Build == spec.BuildController {
		files.builds(b)
	}
	return b.Items()
}

// user is whom the program runs as: systemd wants one that has a name. The number is
// that of the images, of which no host has a user of its own.
const user = "updraft-registry"

func addUser(b *stack.Builder, id int) {
	b.Add(configset.Item{Phase: engine.Prepare, Resource: &group.Resource{Name: user, GID: id}})
	b.Add(configset.Item{Phase: engine.Prepare, Resource: &account.Resource{
		Name: user, UID: id, Group: user, System: true, Home: "/nonexistent", Shell: "/usr/sbin/nologin", Locked: true,
	}})
}

// config is what the program is run with.
type config struct{ Program, Dir, Listen, Certificate, Password string }

//go:embed registry.service
var unitText string

// unit starts the program anew for another program or password. A certificate is
// read for each connection.
func (c config) unit() configset.Item {
	text := strings.NewReplacer(
		"@program@", c.Program, "@dir@", c.Dir, "@listen@", c.Listen, "@user@", user,
		"@certificate@", c.Certificate, "@password@", c.Password,
	).Replace(unitText)
	yes := true
	u := &unit.Resource{
		Name: Unit, Content: stack.Header + text, Enabled: &yes, State: unit.Started, RestartOn: []string{c.Program, c.Password},
	}
	needs := []string{"user:" + user, "directory:" + c.Dir, "file:" + c.Certificate}
	return configset.Item{Resource: u, Phase: engine.Start, Needs: needs, Triggers: []string{"file:" + c.Program, "file:" + c.Password}}
}
