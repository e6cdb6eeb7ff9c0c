// Package containerhost is the configset of a host that runs containers: podman,
// with its storage, registries and defaults.
//
// It guarantees that what the resource kind container needs is in place: images
// from a shared store or a registry whose certificate is checked, logs in the
// journal, limits by systemd. It needs no control group controllers, and uses
// those that there are.
package containerhost

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Params are the parameters.
type Params struct {
	Stores   []string `json:"stores" format:"path" doc:"Directories with images that the host may read but not write, such as a store that a lab host shares with this computer."`
	Registry string   `json:"registry" format:"line" doc:"HOST:PORT of a registry whose images are asked for by that name."`
	CA       string   `json:"ca" doc:"The authority of the registry's certificate, as PEM; those of the host when left out."`
	Cgroups  string   `json:"cgroups" default:"auto" enum:"auto,enabled,disabled" doc:"Whether containers that are started by hand get control groups of their own. auto: not on hosts of the lab, whose control groups have no controllers; on others they do."`
	Run      []string `json:"run" format:"line" doc:"Directories in /run that containers share, such as netns. They are made now and at each boot."`
	Packages []string `json:"packages" format:"line" doc:"Further packages, such as curl for readiness by https."`
}

// Set returns the configset.
func Set() configset.Set {
	return configset.Set{
		Name: "containerhost",
		Doc: "A host that runs containers under systemd: podman with its storage, registries and defaults. " +
			"Containers are resources of the kind container; their units limit them, and what they write is in the journal.",
		Params: func() any { return configset.Defaults(&Params{}) },
		Build:  build,
	}
}

// host is what the parameters come to on one host.
type host struct {
	Params
	cloud   *spec.Cloud
	on      *spec.Host
	cgroups bool
}

// Items returns what makes a host into one that runs containers, for parts of
// updraft that deploy containers themselves. The parameters are taken as they are.
func Items(c *spec.Cloud, on *spec.Host, p Params) []configset.Item {
	return newHost(c, on, p).items()
}

func newHost(c *spec.Cloud, on *spec.Host, p Params) *host {
	p.Run = slices.Sorted(slices.Values(p.Run))
	enabled := p.Cgroups == "enabled" || p.Cgroups != "disabled" && c.Provider.Name != "lab"
	return &host{Params: p, cloud: c, on: on, cgroups: enabled}
}

// build is the configset's Build.
func build(in *configset.Input) []configset.Item {
	h := resolve(in)
	if h == nil {
		return nil
	}
	return h.items()
}

var (
	registryRE = regexp.MustCompile(`^([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)
	runRE      = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$`)
)

// resolve checks the parameters. It returns nil if there was a fault.
func resolve(in *configset.Input) *host {
	p := *in.Params.(*Params)
	before := len(*in.Diags)
	for _, s := range p.Stores {
		if !path.IsAbs(s) || path.Clean(s) != s || strings.ContainsAny(s, `"\`) {
			in.Fault("stores", "write an absolute path", "stores: %q is not a directory", s)
		}
	}
	if p.Registry != "" && !registryRE.MatchString(p.Registry) {
		in.Fault("registry", "write HOST:PORT", "registry: %q is not the address of a registry", p.Registry)
	}
	if p.CA != "" && p.Registry == "" {
		in.Fault("ca", "give registry, too", "ca: there is no registry")
	}
	if p.CA != "" && !strings.HasPrefix(p.CA, "-----BEGIN CERTIFICATE-----\n") {
		in.Fault("ca", "give the certificate that signs the registry's", "ca: it is no certificate in PEM")
	}
	for _, r := range p.Run {
		if !runRE.MatchString(r) {
			in.Fault("run", "write it like netns", "run: %q is not a directory in /run", r)
		}
	}
	if len(*in.Diags) > before {
		return nil
	}
	return newHost(in.Cloud, in.Host, p)
}
