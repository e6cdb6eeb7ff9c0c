package cinder

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/openstack/etcd/lease"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// leasing is what cinder-volume's container needs to run it for as long as its host
// holds the lease.
type leasing struct {
	// run stands before the program.
	run     []string
	volumes []container.Volume
	// files are those that it restarts for.
	files, needs []string
}

// leaseKey is where in etcd the controller is noted that runs cinder-volume.
const leaseKey = "/updraft/cinder/volume"

// leased adds what decides on a controller whether it is the one. Certificates are
// read at each connection: their directory is mounted, and nothing restarts for them.
func leased(b *stack.Builder) leasing {
	leaf := stack.LeafFile("etcd")
	c := lease.Config{Host: b.Host.Name, Key: leaseKey, CA: stack.CAFile, EtcdLeaf: leaf}
	for _, h := range slices.Concat([]*spec.Host{b.Host}, b.D.Others(b.Host)) {
		c.Etcd = append(c.Etcd, "https://"+stack.HostPort(b.D.Address(h), stack.EtcdPort))
	}
	program := b.Program(stack.ProgramDir+"/updraft-guard", b.D.GuardProgram)
	file := b.Config("lease.json", c.Encode())
	dir := stack.ConfigDir("etcd")
	return leasing{
		run:     []string{program, "hold", file},
		volumes: []container.Volume{stack.Mount(program, program), stack.Mount(file, file), stack.Mount(dir, dir)},
		files:   []string{program, file},
		needs:   []string{"file:" + leaf},
	}
}
