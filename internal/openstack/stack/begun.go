package stack

import (
	_ "embed"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// BegunKey is the key of etcd which says that the clusters of the services have
// begun. As long as it is there nobody begins one anew: not even the first
// controller with empty disks while all others are down, where nothing but this
// tells it from the first controller of a cloud that is just being made.
const BegunKey = "/updraft/clusters-begun"

//go:embed begun.sh
var begunScript string

// Begun adds the program that tells whether the clusters have begun, where there are
// several controllers, and returns its command line for a process that can read
// the certificate. Its status is 0 for yes, 1 for no, 2 where etcd does not answer.
func (b *Builder) Begun(leaf string) []string {
	b.Config(begunFile, begunScript)
	return begun(b.D, b.Host, b.Service, leaf)
}

const begunFile = "begun.sh"

func begun(d *Deployment, h *spec.Host, service, leaf string) []string {
	urls := []string{EtcdURL(d.Address(h))}
	for _, o := range d.Others(h) {
		urls = append(urls, EtcdURL(d.Address(o)))
	}
	return []string{"bash", path.Join(ConfigDir(service), begunFile), leaf, CAFile, strings.Join(urls, ",")}
}

// BegunOnHost is shell text that asks the same on a controller itself, by what its
// member of etcd has.
func BegunOnHost(d *Deployment, h *spec.Host) string {
	return Inside("etcd", transport.Quote(begun(d, h, "etcd", LeafFile("etcd"))...))
}

// EtcdURL is where the member of etcd at an address answers clients.
func EtcdURL(address string) string { return "https://" + HostPort(address, EtcdPort) }
