package cli

import (
	"bytes"
	"context"

	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/member"
)

// members is the executor of the controllers' membership in clusters.
func (s *session) members() *member.Executor {
	d := s.deployment()
	return &member.Executor{
		D: d, Clusters: openstack.Clusters(d),
		Known: func() map[string]member.Controller { return member.Recorded(s.records) },
		Run: func(ctx context.Context, host, script string) (string, error) {
			var out bytes.Buffer
			err := s.asRootInto(ctx, host, script, &out)
			return out.String(), err
		},
	}
}
