package web

import (
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

const (
	confFile = "/etc/nginx/nginx.conf"
	pageFile = root + "/index.html"
)

// items returns the resources. The page is no trigger: nginx reads it at each
// request. The configuration waits for it, so that nginx never runs without.
func (s *site) items(in *configset.Input) []configset.Item {
	enabled := true
	return []configset.Item{
		{Resource: &pkg.Resource{Name: "nginx"}, Needs: basebox.BeforePackages(in.Cloud, in.Host)},
		{Resource: &directory.Resource{Path: root, Mode: "0755", Owner: "root", Group: "root"}},
		{Resource: &file.Resource{Path: pageFile, Content: s.page, Mode: "0644", Owner: "root", Group: "root"}},
		{
			Resource: &file.Resource{
				Path: confFile, Content: s.nginx(), Mode: "0644", Owner: "root", Group: "root",
				Check: []string{"nginx", "-t", "-q", "-c", "%s"},
			},
			Needs: []string{"package:nginx", "file:" + pageFile},
		},
		{
			Resource: &unit.Resource{
				Name: "nginx.service", Enabled: &enabled, State: unit.Started, ReloadOn: []string{confFile},
			},
			Needs:    []string{"package:nginx"},
			Triggers: []string{"file:" + confFile},
		},
	}
}
