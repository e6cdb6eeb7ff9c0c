package libvirt

import (
	"path"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
)

// proofDir is where QEMU finds what it shows to another QEMU, and what that has to
// show. It is a directory of the host's: a QEMU that has outlived its libvirtd's
// container sees new certificates in it, too.
func proofDir() string { return path.Join(stack.ConfigDir(name), "pki") }

// authority is the cloud's, as a file in that directory.
func authority() string { return path.Join(proofDir(), "ca-cert.pem") }

// proofs adds the certificate of the host's libvirtd and QEMUs, under the names that
// QEMU looks for, and returns what libvirtd has to be told of when it changes, and
// references to all of it.
//
// Source: QEMU's documentation, "TLS setup for network services".
func proofs(b *stack.Builder) (told, needs []string) {
	leaf := b.Leaf(user)
	b.Dir(proofDir(), "", "0755")
	told = []string{leaf, b.Config("pki/ca-cert.pem", b.D.Secrets.Authority())}
	needs = []string{"file:" + told[0], "file:" + told[1]}
	for _, file := range []string{"server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem"} {
		link := &symlink.Resource{Path: path.Join(proofDir(), file), Target: leaf}
		b.Add(configset.Item{Resource: link, Phase: engine.Configure})
		needs = append(needs, "symlink:"+link.Path)
	}
	return told, needs
}
