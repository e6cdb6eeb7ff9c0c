// Package heat makes what a template describes (Heat): its API, the older API that
// servers signal to, and the engine.
//
// A cloud has it when its file says services: [heat]. It runs in an image of its
// own (docs/adr/0018-optional-services.md).
//
// The users that stacks make for their servers are in a domain of Keystone of
// their own, so that none of them is a user of the cloud.
package heat

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

const (
	name    = "heat"
	port    = 8004
	cfnPort = 8000
	// apiProcesses is the least number: a process does one request at a time, and
	// all of them wait for an engine.
	apiProcesses = 2
	// requestTimeout bounds a request, in seconds: an engine that previews a large
	// stack asks all other services.
	requestTimeout = 300

	// userDomain is the domain of stacks' own users, and domainAdmin who makes them.
	userDomain, domainAdmin = "heat", "heat_domain_admin"
	// stackUser is the role of these users.
	stackUser = "heat_stack_user"
	// secretKey is the name of the secret by which the database's secrets are encrypted.
	secretKey = "heat-encryption"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Stacks of things from templates (Heat): APIs and engine.", Build: build, User: name,
		Optional: true, Image: name, Commands: []string{"stack", "orchestration", "software"},
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{
			{
				Service: name, Type: "orchestration", Port: port, Path: "/v1/$(tenant_id)s",
				Check: "/healthcheck", Status: "200", Timeout: requestTimeout,
			},
			{Service: "heat-cfn", Type: "cloudformation", Port: cfnPort, Path: "/v1", Check: "/healthcheck", Status: "200"},
		},
		Accounts: accounts, Sections: sections(), Options: options,
	}
}

// accounts are the domain of stacks' users with its administrator, and their role.
//
// Source: Heat's installation guide, "Install and configure", section
// "Prerequisites".
func accounts() []api.Resource {
	return []api.Resource{
		&api.Domain{Name: userDomain, Description: "Users that stacks made"},
		&api.User{Name: domainAdmin, Domain: userDomain, Password: stack.UserSecret(domainAdminSecret)},
		&api.RoleAssignment{User: domainAdmin, UserDomain: userDomain, Role: "admin", Domain: userDomain},
		&api.Role{Name: stackUser},
	}
}

// domainAdminSecret is domainAdmin as names of secrets are written.
const domainAdminSecret = "heat-domain-admin"

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		conf := b.Oslo("heat.conf", config(d), name)
		schema := stack.OnHost(d.First(), "command:heat schema")
		if h == d.First() {
			job := stack.Job{Image: name, User: name, Run: []string{"heat-manage", "db_sync"}, Volumes: conf.Volumes, Needs: conf.Needs()}
			schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "stack"})
		}
		wsgi(b, conf, "heat-api", port, max(apiProcesses, d.Spec.Workers), schema)
		wsgi(b, conf, "heat-api-cfn", cfnPort, d.Spec.Workers, schema)
		b.Container(container.Resource{
			Name: "heat-engine", Image: name, User: name, Exec: []string{"heat-engine"}, Volumes: conf.Volumes, RestartOn: conf.Paths,
		}, schema)
		out = append(out, b.Items()...)
	}
	return out
}

// wsgi adds an API under uWSGI, with processes in place of threads: as with Nova's,
// answers of remote calls are read in eventlet's hub of one thread.
func wsgi(b *stack.Builder, conf stack.Oslo, program string, port, processes int, schema string) {
	listen := stack.HostPort(stack.Local, port)
	ini := b.UWSGI(stack.UWSGI{Name: program, App: b.D.Release.Path(program + "-wsgi"), Listen: listen, Processes: processes})
	b.Serving(port, container.Resource{
		Name: program, Image: name, User: name, Exec: stack.Serve(ini),
		Volumes: conf.Mounted(stack.Mount(ini, ini)), RestartOn: conf.Watched(ini),
		Ready: &container.Ready{HTTP: "http://" + listen + "/healthcheck", Status: []int{200}, Timeout: stack.Patience},
	}, schema)
}

func config(d *stack.Deployment) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	stack.Messaging(d, &f)
	f.SetAll("DEFAULT",
		"region_name_for_services", d.Spec.Region,
		"num_engine_workers", d.Spec.Workers,
		"stack_user_domain_name", userDomain,
		"stack_domain_admin", domainAdmin,
		"stack_domain_admin_password", d.Secrets.Password(stack.UserSecret(domainAdminSecret)),
		"auth_encryption_key", encryptionKey(d.Secrets.Password(secretKey)),
		"heat_waitcondition_server_url", d.Endpoint("cloudformation")+"/waitcondition",
		"server_keystone_endpoint_type", "public",
		"rpc_response_timeout", requestTimeout,
	)
	stack.DatabaseSection(d, &f, "database", name, name)
	stack.Authtoken(d, &f, name)
	// As whom it acts for owners of stacks who are not there: whom they trust.
	f.SetAll("trustee",
		"auth_type", "password",
		"auth_url", d.AuthURL(),
		"username", name,
		"password", d.Secrets.Password(stack.UserSecret(name)),
		"user_domain_name", "Default",
		"cafile", stack.CAFile,
	)
	f.Set("clients", "ca_file", stack.CAFile)
	f.Set("clients_keystone", "auth_uri", d.AuthURL())
	f.SetAll("ec2authtoken", "auth_uri", d.AuthURL(), "ca_file", stack.CAFile)
	f.Set("paste_deploy", "api_paste_config", "/etc/heat/api-paste.ini")
	stack.Cache(d, &f)
	stack.API(&f)
	return &f
}

// encryptionKey makes a secret as long as Heat wants its key: 32 characters.
func encryptionKey(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:16])
}
