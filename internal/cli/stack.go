package cli

import (
	"context"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/hostagent/embedded"
	"github.com/updraft-cloud/updraft/internal/image/oci"
	imageregistry "github.com/updraft-cloud/updraft/internal/image/registry"
	"github.com/updraft-cloud/updraft/internal/image/testvm"
	"github.com/updraft-cloud/updraft/internal/openstack/answer"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/check"
	"github.com/updraft-cloud/updraft/internal/openstack/member"
	"github.com/updraft-cloud/updraft/internal/openstack/registry"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/spec"
	"golang.org/x/sys/unix"
)

// What puts the parts of an OpenStack together.

// openSecrets reads the cloud's secrets: those that a plan shows, or those that
// an apply may make.
func (s *session) openSecrets(applying bool) error {
	opts := s.a.secretOptions(s.cloud.Name)
	if applying {
		store, err := secret.Open(opts)
		if err != nil {
			return err
		}
		s.vault, s.secrets = store, store
		return nil
	}
	planned, err := secret.Plan(opts)
	if err != nil {
		return err
	}
	s.secrets = planned
	return nil
}

// tellRenewals warns of certificates whose end is near, and says how far the
// replacement of the authority is.
func (s *session) tellRenewals(diags *diag.List, applying bool) {
	if s.secrets == nil || s.cloud.OpenStack == nil {
		return
	}
	mend := "updraft up replaces it"
	if applying {
		mend = "it is replaced now"
	}
	for _, r := range s.secrets.Renewals() {
		what := "the certificate " + r.Name
		if r.Name == secret.CAName {
			what = "the cloud's certificate authority"
		}
		diags.Warnf(s.cloud.OpenStack.Pos, "openstack", mend, "%s ends on %s", what, r.Ends.Format(time.DateOnly))
	}
	if p := s.secrets.Phase(); p != secret.PhaseNone {
		mend := "it is done now"
		if !applying {
			mend = s.phaseMend(p)
		}
		diags.Warnf(s.cloud.OpenStack.Pos, "openstack", mend, "%s", phaseText(p))
	}
}

// stackInput is what the section openstack is compiled with.
func (s *session) stackInput(applying bool) (*compile.OpenStack, error) {
	o := s.cloud.OpenStack
	if o == nil {
		return nil, nil // there is none
	}
	if err := s.openSecrets(applying); err != nil {
		return nil, err
	}
	rel, err := release.Load(o.Release)
	if err != nil {
		return nil, err
	}
	builder := s.a.images()
	builder.Layouts = o.Images == spec.ImagesRegistry
	reg, err := s.registryInput(rel, builder)
	if err != nil {
		return nil, err
	}
	if reg != nil {
		rel = rel.From(registry.Address(o))
	}
	if applying && reg == nil { // hosts see the store from their first boot on
		if err := builder.Init(); err != nil {
			return nil, err
		}
	}
	keys, err := embedded.Unpacked(embedded.Keys, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	guard, err := embedded.Unpacked(embedded.Guard, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	recovery, err := embedded.Unpacked(embedded.Recovery, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	access, proof := s.apiAccess(), testvm.Builder{Dir: builder.Dir}
	return &compile.OpenStack{
		Proof: provision.ProofImage{Builder: proof}, ProofFile: proof.File,
		File:     s.path,
		Checks:   check.Kinds(check.Cloud{Access: access, Dashboard: dashboard(o.VIP.Address), Consoles: consolesOf(o.VIP.Address).String() + "/"}),
		Release:  rel,
		Secrets:  stackSecrets{s.secrets},
		Store:    builder.Store(),
		Registry: reg, Keys: keys, Guard: guard, Recovery: recovery,
		Image: func(name string) (provision.Service, error) {
			image, err := s.containerImage(rel, builder, name)
			s.images = append(s.images, image)
			return image, err
		},
		API: answer.API{URL: authURL(o.VIP.Address), CA: s.secrets.CA().Bundle(), Dial: s.dial},
	}, nil
}

// containerImage is one of the release's.
func (s *session) containerImage(rel *release.Release, b oci.Builder, name string) (provision.ContainerImage, error) {
	recipe, err := rel.Recipe(name)
	image := provision.ContainerImage{Builder: b, Recipe: recipe}
	if s.cloud.OpenStack.Images == spec.ImagesRegistry {
		image.Registry = &oci.Registry{
			Host: registry.Address(s.cloud.OpenStack), CA: s.secrets.CA().Bundle(), Dial: s.dial,
			User: imageregistry.User, Password: s.secrets.Password(stack.SecretRegistry),
		}
	}
	return image, err
}

// registryInput is what the cloud's own registry is compiled with; nil where it has
// none. Its program is for this computer's architecture, as the images are.
func (s *session) registryInput(rel *release.Release, b oci.Builder) (*compile.Registry, error) {
	if s.cloud.OpenStack.Images != spec.ImagesRegistry {
		return nil, nil // there is none
	}
	program, err := embedded.Unpacked(embedded.Registry, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return &compile.Registry{
		Program: program,
		Answer:  answer.API{URL: "https://" + registry.Address(s.cloud.OpenStack) + "/v2/", CA: s.secrets.CA().Bundle(), Dial: s.dial},
		Pushed: func(name string) (provision.Service, error) {
			image, err := s.containerImage(rel, b, name)
			return provision.PushedImage{ContainerImage: image}, err
		},
		Recipe: func(name string) (string, error) {
			recipe, err := rel.Recipe(name)
			if err != nil {
				return "", err
			}
			data, err := json.Marshal(recipe)
			return string(data), err
		},
	}, nil
}

// apiAccess is how the cloud's own API is reached, as its administrator.
func (s *session) apiAccess() api.Access {
	o := s.cloud.OpenStack
	return api.Access{
		AuthURL: authURL(o.VIP.Address), CA: s.secrets.CA().Bundle(), Region: o.Region, Interface: "internal", Dial: s.dial,
		Password: func() (string, error) { return s.secrets.Password(stack.SecretAdmin), s.secrets.Err() },
	}
}

// scopes are the executors of scopes that are no hosts.
func (s *session) scopes() map[string]engine.Executor {
	if s.cloud.OpenStack == nil || s.secrets == nil {
		return nil // what is there goes with the machines
	}
	if s.api == nil {
		s.api = &api.Executor{
			Access:  s.apiAccess(),
			Secrets: func(name string) (string, error) { return s.secrets.Password(name), s.secrets.Err() },
		}
	}
	// What is in the registry is the deployer's work, but behind another gate.
	return map[string]engine.Executor{
		api.Scope: s.api, member.Scope: s.members(),
		registry.Scope: &provision.Executor{Provider: s.provider, Cloud: s.cloud.Name},
	}
}

// authURL is where Keystone answers.
func authURL(vip netip.Addr) string {
	return "https://" + netip.AddrPortFrom(vip, stack.KeystonePort).String() + "/v3"
}

// stackSecrets are the cloud's secrets in the terms of its services.
type stackSecrets struct{ secret.Source }

// FernetKeys names keys by their file.
func (s stackSecrets) FernetKeys(name string) map[string]string {
	out := map[string]string{}
	for i, key := range s.Source.FernetKeys(name) {
		out[strconv.Itoa(i)] = key
	}
	return out
}

// Authority returns the certificates that are to be believed.
func (s stackSecrets) Authority() string { return s.CA().Bundle() }

// imageDisk is what building one container image takes on disk, in bytes, at
// most: the larger one has 1.4 GiB, and its packages are there beside it.
const imageDisk = 3 << 30

// checkImages reports that there is no room for images that are to be built.
func (s *session) checkImages(ctx context.Context) diag.List {
	var need int64
	for _, svc := range s.images {
		if r, err := svc.Observe(ctx); err == nil && !r.Agrees() {
			need += imageDisk
		}
	}
	var out diag.List
	dir := s.a.images().Dir
	for need > 0 && dir != "/" {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) != nil {
			dir = filepath.Dir(dir)
			continue
		}
		if free := int64(st.Bavail) * st.Bsize; free < need {
			out.Errorf(diag.Pos{}, "openstack.images", "make room", "%d MiB are free for container images in %s, and building them takes some %d", free>>20, dir, need>>20)
		}
		break
	}
	return out
}
