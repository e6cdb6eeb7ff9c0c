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
// QEMU looks for, and returns its file and references to all of it.
//
// Source: QEMU's documentation, "TLS setup for network services".
func proofs(b *stack.Builder) (leaf string, needs []string) {
	leaf = b.Leaf(user)
	b.Dir(proofDir(), "", "0755")
	needs = []string{"file:" + leaf, "file:" + b.Config("pki/ca-cert.pem", b.D.Secrets.Authority())}
	for _, file := range []string{"server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem"} {
		link := &symlink.Resource{Path: path.Join(proofDir(), file), Target: leaf}
		b.Add(configset.Item{Resource: link, Phase: engine.Configure})
		needs = append(needs, "symlink:"+link.Path)
	}
	return leaf, needs
}
