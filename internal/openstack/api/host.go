package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Host is a host of servers as Nova, Neutron and Placement know it. They make
// their records of it themselves, as soon as its agents start; removing it, once
// they have stopped for good, deletes the records. Cloud files do not declare it:
// it comes and goes with the machine.
//
// Its node is guarded: a host on which there are servers is not removed.
type Host struct {
	Name string `json:"name"`
	// Provider is the UUID of what Placement knows the host as. It is needed when
	// Nova, that would say it, has forgotten the host already.
	Provider string `json:"provider"`
	// Outlives are IDs of the nodes that make records of the host as long as they
	// are there: its machine, its agents.
	Outlives []string `json:"-"`
}

// hostKind is not among [Kinds], as nobody declares it.
func hostKind() Kind {
	return Kind{Name: "host", New: func() Resource { return &Host{} }}
}

// sealed is the reason that a host which is about to be removed is disabled for.
// By it, updraft's own doing is told from that of an operator.
const sealed = "updraft: the host is being removed from the cloud file"

// Kind returns "host".
func (*Host) Kind() string { return "host" }

// Key returns the name.
func (h *Host) Key() string { return h.Name }

// Validate finds no fault: nobody writes it.
func (*Host) Validate() error { return nil }

// Services returns those that know hosts.
func (*Host) Services() []string { return []string{"compute", "network", "placement"} }

// Needs returns nothing: the host's records are not there before it runs.
func (*Host) Needs() []string { return nil }

func (h *Host) identity() Resource { return h }

func computeHosts() collection {
	return collection{service: "compute", path: "os-services", query: "binary=nova-compute", plural: "services"}
}

// registered returns Nova's record of the host's nova-compute, or nil.
func (h *Host) registered(ctx context.Context, v *view) (object, error) {
	all, err := v.list(ctx, computeHosts())
	if err != nil {
		return nil, err
	}
	return pick(all, "nova-compute on "+h.Name, object{"host": h.Name})
}

func isSealed(service object) bool {
	return service != nil && service.text("status") == "disabled" && service.text("disabled_reason") == sealed
}

// observe differs if servers are kept away because the host was once about to be
// removed.
func (h *Host) observe(ctx context.Context, v *view) (drift.Report, error) {
	service, err := h.registered(ctx, v)
	if err != nil {
		return drift.Report{}, err
	}
	have := "taken"
	if isSealed(service) {
		have = "kept away"
	}
	var b drift.Builder
	b.Want("servers", have, "taken")
	return b.Report(), nil
}

func (h *Host) apply(ctx context.Context, v *view) error {
	service, err := h.registered(ctx, v)
	if err != nil || !isSealed(service) {
		return err
	}
	return h.enable(ctx, v, service, object{"status": "enabled"}, "let servers onto "+h.Name)
}

// enable sets whether the scheduler may use the host.
func (h *Host) enable(ctx context.Context, v *view, service, status object, doing string) error {
	defer v.forget(computeHosts())
	return v.write(ctx, request{
		service: "compute", method: http.MethodPut, path: "os-services/" + service.text("id"), body: status, doing: doing,
	})
}

// object says which servers are on the host.
func (h *Host) object(ctx context.Context, v *view) error {
	v.memo.forget()
	found, err := h.servers(ctx, v)
	if isAbsent(err) {
		return nil // where there is no such service there are no servers
	}
	if err != nil {
		return fmt.Errorf("it cannot be seen which servers are on it: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	return errors.New(inTheWay(h.Name, found))
}

// shownServers bounds how many servers an objection names.
const shownServers = 10

// inTheWay names servers, and says how to go on.
func inTheWay(host string, found []object) string {
	var names []string
	for _, s := range found[:min(len(found), shownServers)] {
		names = append(names, fmt.Sprintf("%s (%s, %s)", s.text("name"), s.text("id"), s.text("status")))
	}
	if more := len(found) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	are := "are servers"
	if len(found) == 1 {
		are = "is a server"
	}
	return fmt.Sprintf("on %[1]s there %[2]s: %[3]s. Nothing was changed. Delete what may go (updraft openstack -- server delete ID); "+
		"if %[1]s is dead, start the others elsewhere (updraft openstack -- server evacuate ID); or put %[1]s back into the cloud file",
		host, are, strings.Join(names, ", "))
}

// serverHost is the attribute of a server that says where it is, for administrators.
const serverHost = "OS-EXT-SRV-ATTR:host"

// servers returns those on the host, and those that are on their way to it: the
// scheduler has Placement set resources aside before it tells the host.
func (h *Host) servers(ctx context.Context, v *view) ([]object, error) {
	all := collection{service: "compute", path: "servers/detail", query: "all_tenants=1&host=" + url.QueryEscape(h.Name), plural: "servers"}
	found, err := v.list(ctx, all)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(s object) bool { return s.text(serverHost) != h.Name })
	consumers, err := h.consumers(ctx, v)
	if err != nil {
		return nil, err
	}
	for _, id := range consumers {
		if slices.ContainsFunc(found, func(s object) bool { return s.text("id") == id }) {
			continue
		}
		var doc struct{ Server object }
		err := v.c.call(ctx, request{service: "compute", path: "servers/" + escape(id), out: &doc, doing: "look for server " + id})
		if statusOf(err) == http.StatusNotFound {
			continue // a migration, or what one left behind
		}
		if err != nil {
			return nil, err
		}
		if on := doc.Server.text(serverHost); on == "" || on == h.Name { // else it has been evacuated
			found = append(found, doc.Server)
		}
	}
	return found, nil
}

// consumers returns whom Placement has set resources of the host aside for.
func (h *Host) consumers(ctx context.Context, v *view) ([]string, error) {
	providers, err := h.providers(ctx, v)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range providers {
		var doc struct{ Allocations map[string]any }
		err := v.c.call(ctx, request{service: "placement", path: "resource_providers/" + escape(id) + "/allocations", out: &doc, doing: "see who uses " + h.Name})
		if err != nil && statusOf(err) != http.StatusNotFound {
			return nil, err
		}
		out = append(out, slices.Sorted(maps.Keys(doc.Allocations))...)
	}
	return out, nil
}

// providers returns the UUIDs of the host in Placement.
func (h *Host) providers(ctx context.Context, v *view) ([]string, error) {
	all, err := v.list(ctx, collection{service: "compute", path: "os-hypervisors/detail", plural: "hypervisors"})
	if err != nil {
		return nil, err
	}
	out := []string{h.Provider}
	for _, o := range all {
		if service, ok := o["service"].(map[string]any); ok && service["host"] == h.Name {
			out = append(out, o.text("id"))
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(id string) bool { return id == "" }), nil
}

// seal keeps further servers away, and then looks whether there are any. If there
// are, they may come again: nothing was changed.
func (h *Host) seal(ctx context.Context, v *view) error {
	v.memo.forget()
	service, err := h.registered(ctx, v)
	switch {
	case isAbsent(err):
		return nil
	case err != nil:
		return err
	case service == nil || service.text("status") != "enabled":
		return h.object(ctx, v)
	}
	err = h.enable(ctx, v, service, object{"status": "disabled", "disabled_reason": sealed}, "keep servers away from "+h.Name)
	if err != nil {
		// Of a host that has just died Nova waits for a word, longer than HAProxy
		// waits for Nova; but what it was told it has noted before.
		if now, again := h.registered(ctx, v); again != nil || !isSealed(now) {
			return err
		}
	}
	if err := h.object(ctx, v); err != nil {
		return errors.Join(err, h.enable(ctx, v, service, object{"status": "enabled"}, "let servers onto "+h.Name))
	}
	return nil
}

// remove deletes what is known of the host. Nova's service takes its record of
// what the host has, its place in a cell and what Placement knows along; the last,
// Nova does not insist on.
func (h *Host) remove(ctx context.Context, v *view) error {
	providers, err := h.providers(ctx, v)
	if err != nil {
		return err
	}
	service, err := h.registered(ctx, v)
	if err != nil {
		return err
	}
	if service != nil {
		if err := h.drop(ctx, v, "compute", "os-services/"+service.text("id")); err != nil {
			return cmp.Or(h.object(ctx, v), err) // the API only says that there are servers
		}
	}
	for _, id := range providers {
		if err := h.drop(ctx, v, "placement", "resource_providers/"+escape(id)); err != nil {
			return err
		}
	}
	return h.removeAgents(ctx, v)
}

// removeAgents deletes the host's agents, which for OVN are its chassis.
func (h *Host) removeAgents(ctx context.Context, v *view) error {
	agents, err := v.list(ctx, collection{service: "network", path: "agents", query: "host=" + url.QueryEscape(h.Name), plural: "agents"})
	if err != nil {
		return err
	}
	for _, a := range agents {
		if a.text("host") != h.Name {
			continue
		}
		if err := h.drop(ctx, v, "network", "agents/"+escape(a.text("id"))); err != nil {
			return err
		}
	}
	return nil
}

// drop deletes something that is known of the host, if it is still there.
func (h *Host) drop(ctx context.Context, v *view, service, path string) error {
	err := v.write(ctx, request{service: service, method: http.MethodDelete, path: path, doing: "remove what " + service + " knows of " + h.Name})
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

func (h *Host) outlives() []string { return h.Outlives }
