package stack_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

// nova is a service with overrides, memcached one without.
func nova() stack.Service {
	return stack.Service{Name: "nova", Sections: []string{"DEFAULT", "libvirt", "pci", "filter_scheduler"}}
}

func deployment(t *testing.T, overrides string) *stack.Deployment {
	t.Helper()
	cloud := strings.Replace(stacktest.Small, "external: [ext]", "external: [ext], overrides: "+overrides, 1)
	return stacktest.Deployment(t, cloud, nova(), stack.Service{Name: "memcached"})
}

func TestOverridesAreChecked(t *testing.T) {
	for name, c := range map[string]struct{ overrides, want string }{
		"what a service knows is fine": {`{nova: {DEFAULT: {cpu_allocation_ratio: 4}}}`, ""},
		"an unknown section is a warning with the closest": {
			`{nova: {libvrit: {virt_type: qemu}}}`,
			`cloud.yaml:14:68: warning: nova is not known to have a section "libvrit" (did you mean "libvirt"?)`,
		},
		"an unknown service is an error with the closest": {
			`{nvoa: {DEFAULT: {debug: true}}}`,
			`cloud.yaml:14:58: error: there is no service "nvoa" whose settings could be overridden (did you mean "nova"?)`,
		},
		"a service without sections takes none": {
			`{memcached: {DEFAULT: {debug: true}}}`,
			`cloud.yaml:14:63: error: there is no service "memcached" whose settings could be overridden (there is nova)`,
		},
		"a map is no value": {
			`{nova: {DEFAULT: {debug: {a: b}}}}`,
			`cloud.yaml:14:76: error: openstack.overrides.nova.DEFAULT.debug: a setting cannot be a map (write a text, a number, true, false, or a list of these)`,
		},
		"nothing is no value": {
			`{nova: {DEFAULT: {debug: null}}}`,
			`cloud.yaml:14:69: error: openstack.overrides.nova.DEFAULT.debug: a setting cannot be nothing (write a text, a number, true, false, or a list of these)`,
		},
		"a section is a map": {
			`{nova: {DEFAULT: true}}`,
			`cloud.yaml:14:68: error: openstack.overrides.nova.DEFAULT is no map (write {KEY: VALUE})`,
		},
		"a section cannot end its own line": {
			`{nova: {"a]\n[b": {debug: true}}}`,
			`cloud.yaml:14:69: error: "a]\n[b" is not the name of a section (use letters, digits and _.:-)`,
		},
		"a key cannot hold a value": {
			`{nova: {DEFAULT: {"a = b": true}}}`,
			`cloud.yaml:14:78: error: "a = b" is not the name of a setting (use letters, digits and _.-)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := deployment(t, c.overrides)
			stack.CheckOverrides(d)
			var got []string
			for _, f := range *d.Diags {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOverridesReachTheFile(t *testing.T) {
	for name, c := range map[string]struct{ overrides, want string }{
		"none leave the file as it is":  {`{}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n"},
		"they come over updraft's own":  {`{nova: {DEFAULT: {my_ip: 10.0.0.9}}}`, "[DEFAULT]\nmy_ip = 10.0.0.9\n"},
		"of other services they do not": {`{glance: {DEFAULT: {my_ip: 10.0.0.9}}}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n"},
		"numbers and truths are as they are written": {
			`{nova: {libvirt: {ratio: 1.50, debug: true}}}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n\n[libvirt]\ndebug = true\nratio = 1.50\n",
		},
		"lists have commas": {
			`{nova: {filter_scheduler: {enabled_filters: [A, B]}}}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n\n[filter_scheduler]\nenabled_filters = A,B\n",
		},
		"settings that repeat have a line each": {
			`{nova: {pci: {alias: [a, b]}}}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n\n[pci]\nalias = a\nalias = b\n",
		},
		"a dollar sign refers to another setting": {
			`{nova: {libvirt: {listen: $my_ip}}}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n\n[libvirt]\nlisten = $my_ip\n",
		},
		"a second line cannot begin a section": {
			`{nova: {libvirt: {a: "b\n[c]\nd = e"}}}`, "[DEFAULT]\nmy_ip = 10.0.0.1\n\n[libvirt]\na = b\n    [c]\n    d = e\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var f stack.INI
			f.Set("DEFAULT", "my_ip", "10.0.0.1")
			stack.Override(deployment(t, c.overrides), "nova", &f)
			if diff := cmp.Diff(stack.Header+"\n"+c.want, f.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOverridesThatAreSecretAreNotInTheFileThatPlansShow(t *testing.T) {
	d := deployment(t, `{nova: {libvirt: {images_rbd_pool: vms, rbd_password: topsecret}}}`)
	b := d.On(d.Spec.Controllers[0], "nova")
	b.Oslo("nova.conf", &stack.INI{}, "nova")
	text := stacktest.Render(t, b.Items())
	main, shown, ok := strings.Cut(text, "file:/etc/updraft/nova/conf.d/50-overrides.conf")
	if !ok || strings.Contains(shown, "topsecret") || !strings.Contains(shown, "images_rbd_pool = vms") {
		t.Errorf("the file of overrides is not as it should be:\n%s", shown)
	}
	if !strings.Contains(main, "rbd_password = topsecret") || !strings.Contains(main, "sensitive: true") {
		t.Errorf("the main file is not as it should be:\n%s", main)
	}
}
