package stack

import (
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource/container"
)

// Project is the project in Keystone that the services' users belong to.
const Project = "service"

// Client sets how a service's user signs in to Keystone, in the section of a
// client of another service, and whose endpoints it takes.
func Client(d *Deployment, f *INI, section, user string) {
	SignIn(d, f, section, user)
	f.Set(section, "region_name", d.Spec.Region)
}

// SignIn sets what keystoneauth's plugin "password" asks for.
//
// Source: keystoneauth's documentation, "Loading Plugins Options".
func SignIn(d *Deployment, f *INI, section, user string) {
	f.SetAll(section,
		"auth_type", "password",
		"auth_url", d.AuthURL(),
		"username", user,
		"password", d.Secrets.Password(UserSecret(user)),
		"user_domain_name", "Default",
		"project_name", Project,
		"project_domain_name", "Default",
		"cafile", CAFile,
	)
}

// Authtoken sets how a service validates the tokens that come with requests.
// Tokens of services count only with the role service, so that no user can pass
// off their token as a service's (OSSA-2023-003 is what comes of that).
func Authtoken(d *Deployment, f *INI, user string) {
	const section = "keystone_authtoken"
	Client(d, f, section, user)
	f.SetAll(section,
		"www_authenticate_uri", d.AuthURL(),
		"memcached_servers", strings.Join(d.Memcached(), ","),
		"memcache_pool_dead_retry", cacheRetry,
		"service_token_roles", "service",
		"service_token_roles_required", true,
	)
}

// ServiceUser lets a service send a token of its own along with the user's, so
// that work which outlasts the user's token can be finished.
func ServiceUser(d *Deployment, f *INI, user string) {
	const section = "service_user"
	f.Set(section, "send_service_user_token", true)
	SignIn(d, f, section, user)
}

// DatabaseSection sets where a service keeps its data. Services are started while
// HAProxy may not have noticed yet that the database answers, so a second's
// pause between attempts is better than the default of ten.
func DatabaseSection(d *Deployment, f *INI, section, user, database string) {
	f.SetAll(section,
		"connection", DatabaseURL(d, user, database),
		"max_pool_size", 5,
		"max_retries", 60,
		"retry_interval", 1,
	)
}

// Messaging sets how a service reaches the message queue. With more than one
// controller queues are replicated (quorum queues); what cannot be replicated in
// a queue's life is its type, so that is settled by the number of controllers.
func Messaging(d *Deployment, f *INI) {
	replicated := len(d.Spec.Controllers) > 1
	f.Set("DEFAULT", "transport_url", TransportURL(d))
	f.SetAll("oslo_messaging_rabbit",
		"rabbit_quorum_queue", replicated,
		"rabbit_transient_quorum_queue", replicated,
		// A client that found no broker looks again at most this many seconds
		// later, and not, as by default, half a minute.
		"rabbit_interval_max", 3,
		"ssl", true,
		"ssl_ca_file", CAFile,
		// Without it any certificate of the authority is good for any server.
		"ssl_enforce_hostname_verification", true,
	)
}

// API sets what every API behind HAProxy has: links in answers are made of what
// the client asked for, not of the address behind the proxy.
func API(f *INI) { f.Set("oslo_middleware", "enable_proxy_headers_parsing", true) }

// Logging sends a service's log to the journal.
func Logging(f *INI) { f.Set("DEFAULT", "use_stderr", true) }

// Locks says where processes of a service on one host lock each other out.
func Locks(f *INI, dir string) { f.Set("oslo_concurrency", "lock_path", dir) }

// Cache makes a service keep what it computed in memcached. The pool of
// oslo.cache, other than dogpile's own backends, goes on without a server that is
// down.
func Cache(d *Deployment, f *INI) {
	f.SetAll("cache",
		"enabled", true,
		"backend", "oslo_cache.memcache_pool",
		"memcache_servers", strings.Join(d.Memcached(), ","),
		"memcache_dead_retry", cacheRetry,
	)
}

// cacheRetry is for how many seconds a memcached that did not answer is done without.
// It is 300 by default. All of a controller's are reached through its HAProxy: with that
// restarted, each token of each request would be looked up in Keystone for five minutes,
// which is too much for Keystone.
const cacheRetry = 2

// Oslo is the configuration of a service on a host, as its containers see it.
type Oslo struct {
	// Volumes are mounted in every container and job of the service.
	Volumes []container.Volume
	// Paths are those that containers restart for.
	Paths []string
}

// dropIns is the directory of what comes after a service's main file, on the
// host below its own, in containers as /etc/SERVICE/SERVICE.conf.d. Programs read
// it of their own accord when they are given no configuration on the command
// line.
//
// Source: oslo.config, find_config_dirs.
const dropIns = "conf.d"

// DropIn returns where on the host a drop-in of the service lies.
func DropIn(service, name string) string { return path.Join(ConfigDir(service), dropIns, name) }

// Oslo adds the configuration of a service that uses oslo.config: its main file,
// which is secret, and the user's overrides in a file of their own, which plans
// show.
func (b *Builder) Oslo(name string, f *INI, user string) Oslo {
	own, shown := overrides(b.D, b.Service)
	own.mergeInto(f)
	b.Dir(ConfigDir(b.Service), "", "0755")
	dir := b.Dir(path.Join(ConfigDir(b.Service), dropIns), "", "0755")
	main := b.Secret(name, f.String(), user)
	extra := b.Config(path.Join(dropIns, "50-overrides.conf"), shown.String())
	etc := "/etc/" + b.Service
	return Oslo{
		Volumes: []container.Volume{Mount(main, path.Join(etc, name)), Mount(dir, path.Join(etc, b.Service+".conf.d"))},
		Paths:   []string{main, extra},
	}
}

// Mounted returns the volumes with more of them.
func (o Oslo) Mounted(more ...container.Volume) []container.Volume {
	return slices.Concat(o.Volumes, more)
}

// Watched returns the paths with more of them.
func (o Oslo) Watched(more ...string) []string { return slices.Concat(o.Paths, more) }

// Needs returns references to the paths, and to more of them.
func (o Oslo) Needs(more ...string) []string { return triggers(o.Watched(more...)) }
