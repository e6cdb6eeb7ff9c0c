package stack

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Schema is the schema of a database, which a program of the service brings to
// what the code in the image expects.
type Schema struct {
	Job      // without Done
	Database string
	// Like is the database that has the same schema; "" for Database itself.
	Like string
	// Versions is the table of revisions, where it is not alembic_version.
	Versions string
	// Witness is a table that has rows as soon as the service was used.
	Witness string
}

// SQL returns shell text that asks the database of a controller, as root through
// its socket.
func SQL(query string) string {
	return sqlClient("--batch", "--skip-column-names", "--raw", "--execute="+query)
}

// sqlClient is the client at the database's own socket, where there is nothing to
// verify: by default it would look for the server's authority among the system's.
func sqlClient(args ...string) string {
	return Inside("mariadb", transport.Quote(append([]string{"mariadb", "--no-defaults", "--skip-ssl", "--socket=" + DatabaseSocket}, args...)...))
}

// DatabaseReady is what a job that uses a database needs, on the controller that
// runs the job: the database itself, and the way to it through the virtual
// address.
func DatabaseReady(database string) []string {
	return []string{"command:mariadb database " + database, "container:haproxy", "container:keepalived"}
}

// Schema adds the job that brings a schema to where the image's code expects it,
// and returns a reference to it.
//
// The work is done when the database's revisions are the newest
// of the code. Where the release does not say which these are, the job notes those
// that it left behind for the image it used, and the note is what the database is
// compared with: it never says that something was done, only what would be right.
//
// A first sync that was interrupted leaves a schema from which no sync finds its
// way: MariaDB's DDL knows no transactions. So when a sync fails and nobody has
// ever stored anything (the witness is empty or not there yet), the database is
// made anew and synced once more. A sync that still runs, because only updraft was
// killed, is waited for.
func (b *Builder) Schema(s Schema) string {
	if s.Like == "" {
		s.Like = s.Database
	}
	s.Name = s.Database + " schema"
	s.Needs = slices.Concat(DatabaseReady(s.Database), s.Needs)
	have := fmt.Sprintf("$(%s | tr '\\n' ' ')", SQL("SELECT version_num FROM "+s.Database+"."+cmp.Or(s.Versions, "alembic_version")+" ORDER BY version_num"))
	heads := slices.Sorted(slices.Values(b.D.Release.Head(s.Like)))
	var done, note string
	if len(heads) > 0 {
		done = fmt.Sprintf(`test "%s" = %s`, have, transport.Quote(strings.Join(heads, " ")+" "))
	} else {
		at := path.Join(DataRoot, "schema-"+s.Database)
		note = fmt.Sprintf("printf '%%s %%s' %s \"%s\" >%s", transport.Quote(b.D.Release.Image(s.Image)), have, at)
		done = fmt.Sprintf(`test "%s %s" = "$(cat %s)"`, b.D.Release.Image(s.Image), have, at)
	}
	b.Command(command.Resource{
		Name: s.Name, Script: b.syncScript(s) + note + "\n", Unless: done, Timeout: "15m",
	}, s.Phase, b.JobNeeds(s.Job)...)
	return "command:" + s.Name
}

// syncScript is the shell text of a sync, as said at Schema.
func (b *Builder) syncScript(s Schema) string {
	return fmt.Sprintf(`sync() { %[1]s; }
# Succeeds when nobody has stored anything.
unused() {
	test "$(%[2]s)" = 0 || test "$(%[3]s)" = 0
}
timeout 300 podman wait %[4]s >/dev/null 2>&1 || true
if ! sync; then
	unused
	made=$(%[5]s | cut -f 2)
	test -n "$made"
	echo 'a sync was interrupted before the first use: %[6]s is made anew' >&2
	%[7]s
	printf '%%s' "$made" | { %[8]s; }
	sync
fi
`,
		transport.Quote(b.podman(s.Job)...),
		SQL(fmt.Sprintf("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema=\"%s\" AND table_name=\"%s\"", s.Database, s.Witness)),
		SQL(fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s.%s)", s.Database, s.Witness)),
		jobName(s.Job),
		SQL("SHOW CREATE DATABASE "+s.Database),
		s.Database,
		SQL("DROP DATABASE "+s.Database),
		sqlClient())
}

// RunJob is where a job's script runs the job's container.
const RunJob = "job"

// Script adds a job with a script of its own on the host, in which [RunJob] runs
// the job's container. c gives script and guard.
func (b *Builder) Script(j Job, c command.Resource) {
	c.Name, c.Timeout = j.Name, j.Timeout
	c.Script = b.JobFunction(j) + c.Script
	b.Triggered(c, j.Phase, b.JobNeeds(j), j.Triggers...)
}

// JobFunction is shell text that defines [RunJob], for a script that lies on the
// host.
func (b *Builder) JobFunction(j Job) string {
	return RunJob + "() { " + transport.Quote(b.podman(j)...) + "; }\n"
}
