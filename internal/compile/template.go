package compile

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// templateData is what the content of a file with template: true can name.
type templateData struct {
	Host  *spec.Host
	Cloud *spec.Cloud
}

// render fills in the content of a file that is a template. It is rendered here
// and not on the host, so that a plan shows the text that will be there.
func (c *compiler) render(h *spec.Host, res resource.Resource) (resource.Resource, error) {
	f, ok := res.(*file.Resource)
	if !ok || !f.Template {
		return res, nil
	}
	t, err := template.New(f.Path).Option("missingkey=error").Funcs(c.templateFuncs(h)).Parse(f.Content)
	if err != nil {
		return nil, resource.Fieldf("content", "see the reference of kind file for what a template can name", "%s", plain(err))
	}
	var b strings.Builder
	if err := t.Execute(&b, templateData{Host: h, Cloud: c.Cloud}); err != nil {
		return nil, resource.Fieldf("content", "see the reference of kind file for what a template can name", "%s", plain(err))
	}
	out := *f
	out.Content, out.Template = b.String(), false
	return &out, nil
}

// templateFuncs are the functions of templates.
func (c *compiler) templateFuncs(own *spec.Host) template.FuncMap {
	return template.FuncMap{
		// hosts returns the hosts of a group or role, or all.
		"hosts": c.Cloud.Select,
		// address returns a host's address on a network; the host's first
		// network when none is named.
		"address": func(h *spec.Host, network ...string) (string, error) {
			name := ""
			if len(network) > 0 {
				name = network[0]
			} else if len(h.NICs) > 0 {
				name = h.NICs[0].Network
			}
			a := h.AddressOn(name)
			if !a.IsValid() {
				return "", fmt.Errorf("%s has no address on %q", h.Name, name)
			}
			return a.String(), nil
		},
		// vip returns a virtual address by its name.
		"vip": func(name string) (string, error) {
			v := c.Cloud.VIP(name)
			if v == nil {
				return "", fmt.Errorf("there is no virtual address %q", name)
			}
			return v.Address.String(), nil
		},
		"self": func() *spec.Host { return own },
		"join": strings.Join,
	}
}

// plain takes the package's own prefix off a template's error.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "template: ") }
