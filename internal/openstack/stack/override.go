package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Overrides are settings of the user's over updraft's own: service → section →
// key → value. Values are texts, numbers, true and false, and lists of these.
// Texts are put into the file as they are written, so that $name stands for
// another setting as in any file of oslo.config.

// overridePath is where overrides stand in the cloud file.
const overridePath = "openstack.overrides"

var (
	sectionRE = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)
	keyRE     = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	// secretRE are keys whose values do not belong into a plan.
	secretRE = regexp.MustCompile(`(?i)password|secret|token$|_key$|^connection$|transport_url|credential`)
)

// repeated are settings that are written once per value (MultiOpt) in place of
// once with commas (ListOpt).
//
// Source: the options themselves in the services' releases zed to epoxy.
var repeated = []string{
	"DEFAULT.notification_opt_out", "DEFAULT.reserved_huge_pages", "cache.backend_argument", "federation.trusted_dashboard",
	"filter_scheduler.available_filters", "glance_store.filesystem_store_datadirs", "glance_store.vmware_datastores",
	"oslo_messaging_notifications.driver", "oslo_policy.policy_dirs", "pci.alias", "pci.device_spec", "pci.passthrough_whitelist",
	"tokenless_auth.trusted_issuer",
}

// CheckOverrides reports what is wrong with the user's overrides: services that
// there are not and values of a wrong type are errors, sections and settings that
// the service is not known to have are warnings: a plug-in may have them.
func CheckOverrides(d *Deployment) {
	c := overrideCheck{d}
	services, ok := c.table(d.Spec.Overrides.JSON, "", "write {SERVICE: {SECTION: {KEY: VALUE}}}")
	if !ok {
		return
	}
	for _, name := range sorted(services) {
		s, ok := c.service(name)
		if !ok {
			continue
		}
		sections, ok := c.table(services[name], name, "write {SECTION: {KEY: VALUE}}")
		if !ok {
			continue
		}
		for _, section := range sorted(sections) {
			c.section(s, section, sections[section])
		}
	}
}

type overrideCheck struct{ d *Deployment }

func (c overrideCheck) errorf(path, mend, format string, args ...any) {
	c.d.Diags.Errorf(c.pos(path), fullPath(path), mend, format, args...)
}

// pos is the position of the value there, or of the nearest known above it.
func (c overrideCheck) pos(path string) diag.Pos {
	for {
		if p := c.d.Spec.Overrides.PosOf(path); !p.IsZero() || path == "" {
			if p.IsZero() {
				p = c.d.Spec.Pos
			}
			return p
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
}

func fullPath(path string) string {
	if path == "" {
		return overridePath
	}
	return overridePath + "." + path
}

func (c overrideCheck) table(data []byte, path, mend string) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	if len(data) > 0 && json.Unmarshal(data, &m) != nil {
		c.errorf(path, mend, "%s is no map", fullPath(path))
		return nil, false
	}
	return m, true
}

func (c overrideCheck) service(name string) (Service, bool) {
	var known []string
	for _, s := range c.d.Services {
		if len(s.Sections) == 0 {
			continue
		}
		if s.Name == name {
			return s, true
		}
		known = append(known, s.Name)
	}
	c.errorf(name, spec.DidYouMean(name, known), "there is no service %q whose settings could be overridden", name)
	return Service{}, false
}

func (c overrideCheck) section(s Service, section string, data json.RawMessage) {
	path := s.Name + "." + section
	if !sectionRE.MatchString(section) {
		c.errorf(path, "use letters, digits and _.:-", "%q is not the name of a section", section)
		return
	}
	if !slices.Contains(s.Sections, section) {
		c.d.Diags.Warnf(c.pos(path), fullPath(path), spec.DidYouMean(section, s.Sections), "%s is not known to have a section %q", s.Name, section)
	}
	keys, ok := c.table(data, path, "write {KEY: VALUE}")
	if !ok {
		return
	}
	known := parseOptions(s.Options)[section]
	for _, key := range sorted(keys) {
		path := path + "." + key
		if s.Setting != nil {
			if fault, mend := s.Setting(key, keys[key]); fault != "" {
				c.errorf(path, mend, "%s", fault)
			}
			continue
		}
		if !keyRE.MatchString(key) {
			c.errorf(path, "use letters, digits and _.-", "%q is not the name of a setting", key)
			continue
		}
		v, err := values(keys[key])
		if err != nil {
			c.errorf(path, "write a text, a number, true, false, or a list of these", "%s: %v", fullPath(path), err)
			continue
		}
		if len(known) > 0 {
			c.setting(s, section, key, known, v)
		}
	}
}

// setting compares an override with what the service knows.
func (c overrideCheck) setting(s Service, section, key string, known map[string]optionType, v []string) {
	path := s.Name + "." + section + "." + key
	kind, ok := known[strings.ReplaceAll(key, "-", "_")]
	if !ok {
		c.d.Diags.Warnf(c.pos(path), fullPath(path), spec.DidYouMean(key, sorted(known)), "%s is not known to have a setting %q in section %q", s.Name, key, section)
		return
	}
	if mend := kind.fault(v); mend != "" {
		c.errorf(path, mend, "%s cannot be %s", fullPath(path), wrongType(key, v))
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// values decodes a setting's value; a list gives more than one.
func values(data json.RawMessage) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]string, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case string:
			out[i] = v
		case bool, json.Number:
			out[i] = fmt.Sprint(v)
		case nil:
			return nil, fmt.Errorf("a setting cannot be nothing")
		case map[string]any:
			return nil, fmt.Errorf("a setting cannot be a map")
		default:
			return nil, fmt.Errorf("a setting cannot be a list of lists")
		}
		if strings.ContainsRune(out[i], 0) {
			return nil, fmt.Errorf("a setting cannot hold a NUL byte")
		}
	}
	return out, nil
}

// overrides returns what the user set for a service: what is secret, and what may
// be shown. Faults are left out; [CheckOverrides] reports them.
func overrides(d *Deployment, service string) (secret, shown INI) {
	var services map[string]map[string]map[string]json.RawMessage
	if json.Unmarshal(d.Spec.Overrides.JSON, &services) != nil {
		return INI{}, INI{}
	}
	sections := services[service]
	for _, name := range sorted(sections) {
		for _, key := range sorted(sections[name]) {
			v, err := values(sections[name][key])
			if err != nil || !sectionRE.MatchString(name) || !keyRE.MatchString(key) {
				continue
			}
			if !slices.Contains(repeated, name+"."+key) {
				v = []string{strings.Join(v, ",")}
			}
			to := &shown
			if secretRE.MatchString(key) {
				to = &secret
			}
			to.setRaw(name, key, v)
		}
	}
	return secret, shown
}

// Overridden returns the user's settings of a service that has no file of its own
// for them, by section and key, each with its values.
func Overridden(d *Deployment, service, section string) map[string]json.RawMessage {
	var services map[string]map[string]map[string]json.RawMessage
	if json.Unmarshal(d.Spec.Overrides.JSON, &services) != nil {
		return nil
	}
	return services[service][section]
}

// Override sets the user's settings of a service in a file of updraft's own.
func Override(d *Deployment, service string, f *INI) {
	secret, shown := overrides(d, service)
	secret.mergeInto(f)
	shown.mergeInto(f)
}
