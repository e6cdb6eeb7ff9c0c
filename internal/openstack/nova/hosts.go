package nova

import (
	"fmt"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// hostPatience bounds the wait for a compute to report what it has. nova-compute
// takes some 10 s to start, more when all services of a cloud start at once.
const hostPatience = "5m"

// usable adds, for each compute, the job after which servers can be started
// there: it is in the cell and alive, and Placement knows what it has. Nova itself looks
// for new computes every half a minute; that is too late for whoever starts the
// first server.
func usable(b *stack.Builder, conf stack.Oslo, computes []*spec.Host) {
	for _, h := range computes {
		job := stack.Job{
			Name: "nova compute " + h.Name, Image: image, User: name, Timeout: hostPatience, Phase: engine.Start,
			Run:     []string{"nova-manage", "cell_v2", "discover_hosts"},
			Volumes: conf.Volumes,
			Needs:   append(conf.Needs(), stack.OnHost(h, "container:nova-compute"), "command:nova cells"),
		}
		b.Script(job, command.Resource{Script: usableScript(h.Name), Unless: asked(usableQuery(h.Name))})
	}
}

// usableScript waits for the compute's record, which it makes itself, and has
// Nova map it. Nova's own look may come first.
func usableScript(host string) string {
	return fmt.Sprintf(`until %[1]s; do
	if %[2]s; then
		%[3]s
	fi
	sleep 0.5
done
`, asked(usableQuery(host)), asked(unmappedQuery(host)), stack.RunJob)
}

// asked is shell text that succeeds when the query counts something.
func asked(query string) string { return fmt.Sprintf(`test "$(%s)" = 1`, stack.SQL(query)) }

// alive is within how many seconds a compute must have said that it is alive for
// the scheduler to use it: Nova's service_down_time. It says so every ten.
const alive = 60

// usableQuery asks whether the host is mapped, alive, and Placement has its
// inventory. The databases differ in collation, so texts are compared byte by
// byte.
func usableQuery(host string) string {
	return fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM nova_api.host_mappings m JOIN nova.compute_nodes n ON BINARY n.host = BINARY m.host AND n.deleted = 0 "+
		"JOIN placement.resource_providers p ON BINARY p.uuid = BINARY n.uuid JOIN placement.inventories i ON i.resource_provider_id = p.id "+
		"JOIN nova.services s ON BINARY s.host = BINARY m.host AND s.topic = 'compute' AND s.deleted = 0 "+
		"AND s.last_seen_up > UTC_TIMESTAMP() - INTERVAL %d SECOND WHERE m.host = '%s')", alive, host)
}

// unmappedQuery asks whether there is something to map.
func unmappedQuery(host string) string {
	return fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM nova.compute_nodes WHERE host = '%s' AND deleted = 0 AND mapped = 0)", host)
}
