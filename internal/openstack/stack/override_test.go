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
			`cloud.yaml:15:68: warning: nova is not known to have a section "libvrit" (did you mean "libvirt"?)`,
		},
		"an unknown service is an error with the closest": {
			`{nvoa: {DEFAULT: {debug: true}}}`,
			`cloud.yaml:15:58: error: there is no service "nvoa" whose settings could be overridden (did you mean "nova"?)`,
		},
		"a service without sections takes none": {
			`{memcached: {DEFAULT: {debug: true}}}`,
			`cloud.yaml:15:63: error: there is no service "memcached" whose settings could be overridden (there is nova)`,
		},
		"a map is no value": {
			`{nova: {DEFAULT: {debug: {a: b}}}}`,
			`cloud.yaml:15:76: error: openstack.overrides.nova.DEFAULT.debug: a setting cannot be a map (write a text, a number, true, false, or a list of these)`,
		},
		"nothing is no value": {
			`{nova: {DEFAULT: {debug: null}}}`,
			`cloud.yaml:15:69: error: openstack.overrides.nova.DEFAULT.debug: a setting cannot be nothing (write a text, a number, true, false, or a list of these)`,
		},
		"a section is a map": {
			`{nova: {DEFAULT: true}}`,
			`cloud.yaml:15:68: error: openstack.overrides.nova.DEFAULT is no map (write {KEY: VALUE})`,
		},
		"a section cannot end its own line": {
			`{nova: {"a]\n[b": {debug: true}}}`,
			`cloud.yaml:15:69: error: "a]\n[b" is not the name of a section (use letters, digits and _.:-)`,
		},
		"a key cannot hold a value": {
			`{nova: {DEFAULT: {"a = b": true}}}`,
			`cloud.yaml:15:78: error: "a = b" is not the name of a setting (use letters, digits and _.-)`,
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

func TestOverridesAreOfTheTypesThatTheServiceKnows(t *testing.T) {
	known := "[DEFAULT]\ndebug bool\nport int:1..65535\nfree int\nratio float:0.0..\nmode choice:a|b\nlist text\nrbd_secret int\n[libvirt]\n"
	for name, c := range map[string]struct{ settings, want string }{
		"truths have many names":          {`{debug: "On"}`, ""},
		"a truth is no number":            {`{debug: 2}`, `debug cannot be "2" (write true or false)`},
		"numbers may be texts":            {`{port: " 80 "}`, ""},
		"a whole number has no fraction":  {`{free: 1.0}`, `free cannot be "1.0" (write a whole number)`},
		"numbers have bounds":             {`{port: 65536}`, `port cannot be "65536" (write a whole number from 1 up to 65535)`},
		"a fraction may be whole":         {`{ratio: 4}`, ""},
		"a fraction has bounds":           {`{ratio: -0.5}`, `ratio cannot be "-0.5" (write a number from 0.0)`},
		"one of a choice":                 {`{mode: c}`, `mode cannot be "c" (write one of a, b)`},
		"one value where there is one":    {`{free: [1, 2]}`, `free cannot be "1, 2" (write a whole number)`},
		"a list where there may be more":  {`{list: [1, 2]}`, ""},
		"another setting can be anything": {`{port: $other}`, ""},
		"dashes are underscores":          {`{rbd-secret: 1}`, ""},
		"a secret is not shown":           {`{rbd_secret: hunter2}`, `rbd_secret cannot be this value (write a whole number)`},
	} {
		t.Run(name, func(t *testing.T) {
			s := nova()
			s.Options = known
			cloud := strings.Replace(stacktest.Small, "external: [ext]", "external: [ext], overrides: {nova: {DEFAULT: "+c.settings+"}}", 1)
			d := stacktest.Deployment(t, cloud, s)
			stack.CheckOverrides(d)
			got := ""
			for _, f := range *d.Diags {
				_, got, _ = strings.Cut(f.String(), "openstack.overrides.nova.DEFAULT.")
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
