package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/netns"
	"golang.org/x/sync/errgroup"
)

// RemoveAll removes everything of the cloud: machines, whatever traces of
// machines are left in cgroups and namespaces, networks, snapshots.
func (p *Provider) RemoveAll(ctx context.Context, cloud string, log machine.Log) error {
	if err := checkName(cloud); err != nil {
		return fmt.Errorf("cannot remove lab %q: %w", cloud, err)
	}
	if err := p.owned(cloud); err != nil {
		return err
	}
	names, err := p.traces(cloud)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		log("removing %d machines", len(names))
	}
	var g errgroup.Group
	g.SetLimit(16)
	for _, name := range names {
		g.Go(func() error {
			defer p.machines.lock(cloud + "/" + name)()
			return p.removeMachine(ctx, cloud, name)
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot remove lab %s: %w", cloud, err)
	}
	defer p.clouds.lock(cloud)()
	return p.removeCloud(ctx, cloud)
}

// traces returns the names of machines of which anything is left.
func (p *Provider) traces(cloud string) ([]string, error) {
	names, err := p.hosts(cloud)
	if err != nil {
		return nil, err
	}
	prefix := HostNamespace(cloud, "")
	spaces, err := netns.List(prefix)
	if err != nil {
		return nil, err
	}
	for _, s := range spaces {
		names = append(names, strings.TrimPrefix(s, prefix))
	}
	names = append(names, p.cg.machines(cloud)...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// removeCloud removes what is left when no machine is.
func (p *Provider) removeCloud(ctx context.Context, cloud string) error {
	if err := p.removeUplink(ctx, cloud); err != nil {
		return err
	}
	err := netns.Delete(Namespace(cloud))
	p.cg.removeCloud(cloud)
	if err := errors.Join(err, os.RemoveAll(p.cloudDir(cloud))); err != nil {
		return fmt.Errorf("cannot remove lab %s: %w", cloud, err)
	}
	return nil
}

// tidy removes the cloud's own things when its last machine and network are
// gone. Snapshots keep its directory.
func (p *Provider) tidy(ctx context.Context, cloud string) error {
	defer p.clouds.lock(cloud)()
	names, err := p.traces(cloud)
	if err != nil || len(names) > 0 {
		return err
	}
	nets, err := networks(cloud)
	if err != nil || len(nets) > 0 {
		return err
	}
	if entries, _ := os.ReadDir(filepath.Join(p.cloudDir(cloud), "snapshots")); len(entries) > 0 {
		p.cg.removeCloud(cloud)
		return errors.Join(p.removeUplink(ctx, cloud), netns.Delete(Namespace(cloud)))
	}
	return p.removeCloud(ctx, cloud)
}
