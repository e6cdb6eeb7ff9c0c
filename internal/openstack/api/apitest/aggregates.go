package apitest

import (
	"encoding/json"
	"net/http"
	"slices"
)

// aggregateTable is what of aggregates is as in every collection.
func aggregateTable() table {
	return table{
		plural: "aggregates", single: "aggregate", method: http.MethodPut, required: []string{"name"}, unique: []string{"name"},
		create: map[string]string{"name": "string", "availability_zone": "string"},
	}
}

// aggregates serves Nova's aggregates. Their IDs are numbers, and an answer to who
// makes one has no hosts.
func (c *Cloud) aggregates(path []string, r *http.Request) (int, any) {
	if len(path) == 3 && path[2] == "action" && r.Method == http.MethodPost {
		return c.aggregateAction(path[1], r)
	}
	if len(path) == 2 && r.Method == http.MethodDelete {
		if a := c.byID("aggregates", path[1]); a != nil && a["hosts"] != nil && len(a["hosts"].([]any)) > 0 {
			refuse(http.StatusBadRequest, "Cannot remove host from aggregate: Host aggregate is not empty.")
		}
	}
	if len(path) == 1 && r.Method == http.MethodPost {
		a := c.create(aggregateTable(), input(r, "aggregate"))
		a["id"] = float64(firstAggregate + c.next)
		made := public(a)
		c.zone(a)
		return http.StatusOK, obj{"aggregate": made}
	}
	status, doc := c.crud(aggregateTable(), path[1:], r)
	if a := c.byID("aggregates", path[len(path)-1]); a != nil {
		c.zone(a)
	}
	return status, doc
}

// firstAggregate is a number that is in no other text.
const firstAggregate = 987000

// zone keeps the zone in the metadata, as Nova does.
func (c *Cloud) zone(a obj) {
	if a["metadata"] == nil {
		a["metadata"], a["hosts"] = obj{}, []any{}
	}
	if z := a["availability_zone"]; z != nil {
		a["metadata"].(obj)["availability_zone"] = z
	}
}

func (c *Cloud) aggregateAction(id string, r *http.Request) (int, any) {
	a := c.byID("aggregates", id)
	if a == nil {
		refuse(http.StatusNotFound, "Aggregate %s could not be found.", id)
	}
	var in map[string]obj
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in) != 1 {
		refuse(http.StatusBadRequest, "say one thing to do")
	}
	for verb, what := range in {
		switch verb {
		case "add_host", "remove_host":
			c.aggregateHost(a, verb, str(what["host"]))
		case "set_metadata":
			setMetadata(a["metadata"].(obj), what["metadata"].(obj))
		default:
			refuse(http.StatusBadRequest, "There is no such action: %s", verb)
		}
	}
	return http.StatusOK, obj{"aggregate": a}
}

func (c *Cloud) aggregateHost(a obj, verb, host string) {
	known := slices.ContainsFunc(c.things["compute_services"], func(s obj) bool { return s["host"] == host })
	at := slices.Index(a["hosts"].([]any), any(host))
	switch {
	case !known:
		refuse(http.StatusNotFound, "Compute host %s could not be found.", host)
	case verb == "add_host" && at >= 0:
		refuse(http.StatusConflict, "Aggregate %v already has host %s.", a["id"], host)
	case verb == "remove_host" && at < 0:
		refuse(http.StatusNotFound, "Aggregate %v has no host %s.", a["id"], host)
	case verb == "add_host":
		a["hosts"] = append(a["hosts"].([]any), host)
	default:
		a["hosts"] = slices.Delete(a["hosts"].([]any), at, at+1)
	}
}

func setMetadata(have, in obj) {
	for k, v := range in {
		if v == nil {
			delete(have, k)
		} else {
			have[k] = v
		}
	}
}
