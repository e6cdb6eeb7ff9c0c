package keystone

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// bootstrapProgram calls keystone-manage bootstrap with the password of a file:
// the program itself only takes it from where every user of the host can read it.
//
//go:embed bootstrap.py
var bootstrapProgram string

// bootstrap adds the job that makes the administrator, the roles and Keystone's
// own entry in the catalogue, and that gives the administrator a new password
// when the cloud's secret has changed.
func bootstrap(b *stack.Builder, conf stack.Oslo, needs []string) {
	d := b.D
	program := b.Config("bootstrap.py", bootstrapProgram)
	password := b.Secret("admin-password", d.Secrets.Password(stack.SecretAdmin), name)
	public, internal := d.PublicAuthURL(), d.AuthURL()
	run := []string{
		"python3", program, password, strings.Join(d.Memcached(), ","),
		"--bootstrap-username", "admin", "--bootstrap-project-name", "admin", "--bootstrap-role-name", "admin",
		"--bootstrap-service-name", name, "--bootstrap-region-id", d.Spec.Region,
		"--bootstrap-public-url", public, "--bootstrap-internal-url", internal, "--bootstrap-admin-url", internal,
	}
	job := stack.Job{
		Name: "keystone bootstrap", Image: "openstack", User: name, Run: run,
		Volumes: conf.Mounted(stack.Mount(program, program), stack.Mount(password, password)),
		Needs:   slices.Concat(conf.Needs(program, password), needs),
	}
	state := passwordState(password)
	note := path.Join(stack.DataRoot, "keystone-bootstrap")
	b.Script(job, command.Resource{
		Script: fmt.Sprintf("%s\n(umask 077; printf %%s \"%s\" >%s)\n", stack.RunJob, state, note),
		Unless: strings.Join([]string{
			fmt.Sprintf(`test "$(%s)" = 3`, stack.SQL(endpointsQuery(d.Spec.Region, public, internal))),
			fmt.Sprintf(`test "%s" = "$(cat %s)"`, state, note),
		}, " && "),
	})
}

// endpointsQuery counts Keystone's own entries in the catalogue.
func endpointsQuery(region, public, internal string) string {
	return fmt.Sprintf("SELECT COUNT(*) FROM keystone.endpoint e JOIN keystone.service s ON s.id = e.service_id "+
		"WHERE s.type = \"identity\" AND e.enabled AND e.region_id = %s AND e.url = IF(e.interface = \"public\", %s, %s)", literal(region), literal(public), literal(internal))
}

// passwordState is shell text of what the administrator's password in the
// database was made of: the secret's digest along with the salted hash. The hash
// itself is slow to verify by design; that it is still the one that was made of
// this secret is as good, and takes no time.
func passwordState(file string) string {
	query := "SELECT p.password_hash FROM keystone.password p JOIN keystone.local_user l ON l.id = p.local_user_id " +
		"JOIN keystone.user u ON u.id = l.user_id WHERE l.name = \"admin\" AND l.domain_id = \"default\" AND u.enabled " +
		"ORDER BY p.created_at_int DESC LIMIT 1"
	return fmt.Sprintf("$(sha256sum <%s) $(%s)", transport.Quote(file), stack.SQL(query))
}

// literal is a text in SQL, in double quotes as these need no escape in a shell's
// single ones.
//
// Source: MariaDB Server documentation, "String Literals".
func literal(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `""`).Replace(s) + `"`
}
