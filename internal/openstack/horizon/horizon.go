// Package horizon is the dashboard: a web page for tenants and operators on the
// cloud's virtual address.
//
// Sessions are in memcached, and all controllers have the same secret key, so it
// does not matter which of them answers a request.
package horizon

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

const (
	name = "horizon"
	// threads per process: the dashboard waits for the APIs.
	threads = 4
	// secretKey is the name of the secret that sessions are signed with.
	secretKey = "horizon"
	// settings is the section of overrides: Django's settings.
	settings = "settings"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "The dashboard (Horizon).", Build: build,
		Endpoints: []stack.Endpoint{{Port: stack.DashboardPort, Check: "/auth/login/", Status: "200", Costly: true, Sticky: true}},
		Sections:  []string{settings},
		Setting: func(key string, _ json.RawMessage) (fault, mend string) {
			if !settingRE.MatchString(key) {
				return fmt.Sprintf("%q is not the name of a setting of Django", key), "use capital letters, digits and _"
			}
			return "", ""
		},
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		b.Dir(stack.ConfigDir(name), "", "0755")
		local := b.Config("settings.py", localSettings(d))
		key := b.Secret("secret-key", d.Secrets.Password(secretKey), name)
		data := b.Data(name)
		listen := stack.HostPort(stack.Local, stack.DashboardPort)
		static := d.Release.Path("horizon-static")
		ini := b.UWSGI(stack.UWSGI{
			Name: name, App: d.Release.Path("horizon-wsgi"), Dir: d.Release.Path("horizon"), Listen: listen, User: name,
			Processes: d.Spec.Workers, Threads: threads, Static: [][2]string{{"/static", static}},
		})
		// uWSGI begins as root, as the port is a privileged one.
		b.Serving(stack.DashboardPort, container.Resource{
			Name: name, Image: "openstack", Exec: stack.Serve(ini),
			Volumes: []container.Volume{
				stack.Mount(local, settingsFile), stack.Mount(key, key), stack.Mount(ini, ini), {Source: data, Target: keyDir},
			},
			RestartOn: []string{local, key, ini},
			Ready:     &container.Ready{HTTP: "http://" + listen + "/auth/login/", Status: []int{200}, Timeout: stack.Patience},
		}, "directory:"+data, "container:memcached")
		out = append(out, b.Items()...)
	}
	return out
}

// keyDir is where the package's own settings make a key before ours are read.
const keyDir = "/var/lib/openstack-dashboard/secret-key"

// settingsFile is read after the package's own files.
const settingsFile = "/etc/openstack-dashboard/local_settings.d/_9999_updraft.py"

// localSettings are Django's. The dashboard is also seen through a forwarded port
// on the operator's own computer, hence the names of that.
//
// Source: Horizon's "Settings Reference"; Django's "Settings".
func localSettings(d *stack.Deployment) string {
	var b strings.Builder
	b.WriteString(stack.Header)
	set := func(key string, value any) { fmt.Fprintf(&b, "%s = %s\n", key, python(value)) }
	set("ALLOWED_HOSTS", slices.Concat(hosts(d), []string{"localhost", "127.0.0.1"}, addresses(d)))
	fmt.Fprintf(&b, "with open(%s) as f:\n    SECRET_KEY = f.read().strip()\n", python(stack.ConfigDir(name)+"/secret-key"))
	set("OPENSTACK_KEYSTONE_URL", d.AuthURL())
	// The pages ask the APIs for their users.
	set("OPENSTACK_ENDPOINT_TYPE", "internalURL")
	set("OPENSTACK_SSL_CACERT", stack.CAFile)
	set("OPENSTACK_KEYSTONE_DEFAULT_ROLE", "member")
	fmt.Fprintf(&b, "AVAILABLE_REGIONS = [(%s, %s)]\n", python(d.AuthURL()), python(d.Spec.Region))
	set("WEBROOT", "/")
	set("SESSION_ENGINE", "django.contrib.sessions.backends.cache")
	set("CACHES", map[string]any{"default": map[string]any{
		"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": d.Memcached(),
		// A memcached that is down holds nothing, which is no error.
		"OPTIONS": map[string]any{"ignore_exc": true},
	}})
	fmt.Fprintf(&b, "SECURE_PROXY_SSL_HEADER = (%s, %s)\n", python("HTTP_X_FORWARDED_PROTO"), python("https"))
	set("CSRF_COOKIE_SECURE", true)
	set("SESSION_COOKIE_SECURE", true)
	set("SESSION_COOKIE_HTTPONLY", true)
	overrides := stack.Overridden(d, name, settings)
	for _, key := range slices.Sorted(maps.Keys(overrides)) {
		var value any
		if settingRE.MatchString(key) && json.Unmarshal(overrides[key], &value) == nil {
			set(key, value)
		}
	}
	return b.String()
}

// settingRE is what Django takes for a setting.
var settingRE = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// addresses are the controllers', by which HAProxy and probes ask.
// hosts are the addresses of the pages as browsers send them (RFC 3986, section 3.2.2).
func hosts(d *stack.Deployment) []string {
	var out []string
	for _, a := range d.VIPs() {
		if a.Is6() {
			out = append(out, "["+a.String()+"]")
			continue
		}
		out = append(out, a.String())
	}
	return out
}

func addresses(d *stack.Deployment) []string {
	var out []string
	for _, h := range d.Spec.Controllers {
		out = append(out, d.Address(h))
	}
	return out
}

// python renders a value as a literal of Python. JSON is nearly the same language;
// what differs are three words.
func python(value any) string {
	switch v := value.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = python(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []string:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = python(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, python(k)+": "+python(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return "None" // only what JSON gave gets here
		}
		return string(data)
	}
}
