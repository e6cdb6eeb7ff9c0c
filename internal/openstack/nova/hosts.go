package nova

import (
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// hostPatience bounds the wait for a service to report that it is alive.
// nova-compute takes some 10 s to start, more when all services of a cloud start
// at once.
const hostPatience = "5m"

// alive is within how many seconds a service must have said that it is alive for
// Nova to use it: service_down_time. It says so every ten.
const alive = 60

// schedulable adds the jobs after which servers can be started: for each
// scheduler that it is alive, for each compute that it is in the cell and alive
// and that Placement knows what it has.
//
// What a service said before it or its host was started again proves nothing: the
// scheduler would believe it for a minute, and a server that it sends to a
// compute on its way up ends in an error. So after such a start the jobs wait for
// a new sign of life, whatever the database still says.
func schedulable(b *stack.Builder, conf stack.Oslo) {
	d := b.D
	var rebooted []string
	for _, c := range d.Spec.Controllers {
		rebooted = append(rebooted, stack.Machine(c), stack.OnHost(c, "container:nova-conductor"))
	}
	for _, c := range d.Spec.Controllers {
		b.Triggered(command.Resource{
			Name: SchedulerJob(c.Name), Timeout: hostPatience,
			Script: sinceNow + fmt.Sprintf("until %s; do\n\tsleep 0.5\ndone\n", later(schedulerSeen(c.Name))),
			Unless: recent(schedulerSeen(c.Name)),
		}, engine.Start, []string{"command:nova cells"}, slices.Concat(rebooted, []string{stack.OnHost(c, "container:nova-scheduler")})...)
	}
	for _, h := range d.Spec.Computes {
		job := stack.Job{
			Name: ComputeJob(h.Name), Image: image, User: name, Timeout: hostPatience, Phase: engine.Start,
			// By its service, since Nova takes a compute that was removed and has come
			// back, by its record of what it has, for one that is mapped already.
			Run:      []string{"nova-manage", "cell_v2", "discover_hosts", "--by-service"},
			Volumes:  conf.Volumes,
			Needs:    append(conf.Needs(), "command:nova cells"),
			Triggers: slices.Concat(rebooted, []string{stack.Machine(h), stack.OnHost(h, "container:nova-compute")}),
		}
		b.Script(job, command.Resource{Script: computeScript(h), Unless: recent(computeSeen(h.Name))})
	}
}

// SchedulerJob is the name of the job after which a controller's scheduler is alive.
func SchedulerJob(host string) string { return "nova scheduler " + host }

// ComputeJob is the name of the job after which servers can be started on a compute.
func ComputeJob(host string) string { return "nova compute " + host }

// computeScript waits for the compute's record, which it makes itself, and has
// Nova map it: Nova's own look, every half a minute, is too late for whoever
// starts the first server. Of two that look at the same moment, such as Nova itself or
// the job of another compute, the second fails ("Duplicate host mapping"), and looks again.
func computeScript(h *spec.Host) string {
	return sinceNow + fmt.Sprintf(`tries=0
until %s; do
	if %s; then
		%s || {
			status=$?
			tries=$((tries + 1))
			test "$tries" -lt 5 || exit "$status"
		}
	fi
	sleep 0.5
done
`, later(computeSeen(h.Name)), asked(unmappedQuery(h.Name)), stack.RunJob)
}

// sinceNow keeps the database's time, by which services sign that they live.
var sinceNow = fmt.Sprintf("now=$(%s)\n", stack.SQL("SELECT TO_SECONDS(UTC_TIMESTAMP())"))

// later is shell text that succeeds when what was seen is from after sinceNow.
func later(seen string) string {
	return fmt.Sprintf(`test "$(%s)" -gt "$now"`, stack.SQL("SELECT COALESCE(MAX(TO_SECONDS(s.last_seen_up)), 0) "+seen))
}

// recent is shell text that succeeds when Nova takes what was seen as alive.
func recent(seen string) string {
	return asked(fmt.Sprintf("SELECT EXISTS (SELECT 1 %s AND s.last_seen_up > UTC_TIMESTAMP() - INTERVAL %d SECOND)", seen, alive))
}

// asked is shell text that succeeds when the query counts something.
func asked(query string) string { return fmt.Sprintf(`test "$(%s)" = 1`, stack.SQL(query)) }

// schedulerSeen is where the scheduler of a controller signs that it lives.
func schedulerSeen(host string) string {
	return fmt.Sprintf("FROM nova.services s WHERE s.host = '%s' AND s.topic = 'scheduler' AND s.deleted = 0", host)
}

// computeSeen is where a compute signs that it lives, if it is mapped and Placement
// has its inventory. The databases differ in collation, so texts are compared
// byte by byte.
func computeSeen(host string) string {
	return fmt.Sprintf("FROM nova_api.host_mappings m JOIN nova.compute_nodes n ON BINARY n.host = BINARY m.host AND n.deleted = 0 "+
		"JOIN placement.resource_providers p ON BINARY p.uuid = BINARY n.uuid JOIN placement.inventories i ON i.resource_provider_id = p.id "+
		"JOIN nova.services s ON BINARY s.host = BINARY m.host AND s.topic = 'compute' AND s.deleted = 0 "+
		"WHERE m.host = '%s'", host)
}

// unmappedQuery asks whether there is something to map.
func unmappedQuery(host string) string {
	return fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM nova.compute_nodes n WHERE n.host = '%s' AND n.deleted = 0 AND NOT EXISTS "+
		"(SELECT 1 FROM nova_api.host_mappings m WHERE BINARY m.host = BINARY n.host))", host)
}
