package nova

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// cell is the name of the one cell that has servers.
const cell = "cell1"

// schemas adds the jobs of the three databases, which need only their own and so
// run at the same time, and that of the cells.
func schemas(b *stack.Builder, conf stack.Oslo) {
	api := b.Schema(stack.Schema{
		Job: stack.Job{Image: image, User: name, Run: []string{"nova-manage", "api_db", "sync"}, Volumes: conf.Volumes, Needs: conf.Needs()},
		// A cell's mapping is the first thing that is stored.
		Database: "nova_api", Witness: "cell_mappings",
	})
	local := []string{"nova-manage", "db", "sync", "--local_cell"}
	b.Schema(stack.Schema{
		Job:      stack.Job{Image: image, User: name, Run: local, Volumes: conf.Volumes, Needs: conf.Needs()},
		Database: "nova", Witness: "services",
	})
	var other stack.INI
	other.Set("database", "connection", stack.DatabaseURL(b.D, name, "nova_cell0"))
	cell0 := b.Secret("cell0.conf", other.String(), name)
	b.Schema(stack.Schema{
		Job: stack.Job{
			Image: image, User: name, Run: append([]string{"nova-manage", "--config-file", "/etc/nova/nova.conf", "--config-file", cell0}, local[1:]...),
			Volumes: conf.Mounted(stack.Mount(cell0, cell0)), Needs: conf.Needs(cell0),
		},
		Database: "nova_cell0", Like: "nova", Witness: "instances",
	})
	cells(b, conf, api)
}

// mapping is a cell as the database should have it.
type mapping struct{ name, database, transport string }

// noTransport is what Nova writes for cell0, which has no services.
const noTransport = "none:///"

func mappings(d *stack.Deployment) []mapping {
	password := d.Secrets.Password(stack.DatabaseSecret(name))
	return []mapping{
		{"cell0", template(stack.DatabaseURL(d, name, "nova_cell0"), password), noTransport},
		{cell, template(stack.DatabaseURL(d, name, "nova"), password), template(stack.TransportURL(d), d.Secrets.Password(stack.SecretRabbit))},
	}
}

// cellsQuery lists the cells as lines of name, database and queue.
const cellsQuery = "SELECT CONCAT_WS(\" \", name, database_connection, transport_url) FROM nova_api.cell_mappings ORDER BY name"

// cells adds the job that makes the cells, or gives them new URLs.
func cells(b *stack.Builder, conf stack.Oslo, needs ...string) {
	program := b.Config("cells.py", cellsProgram)
	var want strings.Builder
	run := []string{"python3", program, cell}
	for _, m := range mappings(b.D) {
		fmt.Fprintf(&want, "%s %s %s\n", m.name, m.database, m.transport)
		run = append(run, m.database, m.transport)
	}
	b.Job(stack.Job{
		Name: "nova cells", Image: image, User: name, Run: run,
		Volumes: conf.Mounted(stack.Mount(program, program)),
		Needs:   append(conf.Needs(program), needs...),
		Done:    fmt.Sprintf(`test "$(%s)" = %s`, stack.SQL(cellsQuery), transport.Quote(strings.TrimSpace(want.String()))),
	})
}

// cellsProgram runs nova-manage a few times in one process that loads it once:
// loading takes most of the two seconds that each would take.
//
//go:embed cells.py
var cellsProgram string
