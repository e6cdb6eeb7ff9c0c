package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is how a watcher reaches the cloud, as JSON in a file that only root reads.
type Config struct {
	AuthURL  string `json:"auth_url"`
	User     string `json:"user"`
	Password string `json:"password"`
	Project  string `json:"project"`
	Region   string `json:"region"`
	// Segment is Masakari's name for all computes together.
	Segment string `json:"segment"`
	// Computes are HOST:PORT by names.
	Computes map[string]string `json:"computes"`
}

// API is the cloud by its APIs. It is for one goroutine.
type API struct {
	Config Config
	HTTP   *http.Client // bounds each request

	token     string
	segmentID string
	endpoints map[string]string // by type
	seen      map[string]ids    // by computes' names
}

// ids are what the services call a compute.
type ids struct {
	service       string // Nova's
	segment, host string // Masakari's
}

var _ Cloud = (*API)(nil)

// statusError is an answer other than what was wanted.
type statusError struct {
	status int
	what   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.what, e.status, http.StatusText(e.status))
}

// Types of services in the catalogue.
const (
	compute  = "compute"
	network  = "network"
	recovery = "instance-ha"
)

// login gets a token of the project and the catalogue that comes with it.
//
// Source: Keystone's API reference, "Password authentication with scoped authorization".
func (a *API) login(ctx context.Context) error {
	domain := map[string]any{"name": "Default"}
	body := map[string]any{"auth": map[string]any{
		"identity": map[string]any{
			"methods": []string{"password"},
			"password": map[string]any{"user": map[string]any{
				"name": a.Config.User, "domain": domain, "password": a.Config.Password,
			}},
		},
		"scope": map[string]any{"project": map[string]any{"name": a.Config.Project, "domain": domain}},
	}}
	var doc struct {
		Token struct {
			Catalog []struct {
				Type      string
				Endpoints []struct{ Interface, Region, URL string }
			}
		}
	}
	a.token = ""
	header, err := a.do(ctx, http.MethodPost, a.Config.AuthURL+"/auth/tokens", body, &doc)
	if err != nil {
		return err
	}
	a.endpoints = map[string]string{}
	for _, s := range doc.Token.Catalog {
		for _, e := range s.Endpoints {
			if e.Interface == "internal" && e.Region == a.Config.Region {
				a.endpoints[s.Type] = strings.TrimSuffix(e.URL, "/")
			}
		}
	}
	a.token = header.Get("X-Subject-Token")
	return nil
}

// call asks a service, with a new token when the old one is over.
func (a *API) call(ctx context.Context, service, method, path string, in, out any) error {
	for again := true; ; again = false {
		if a.token == "" {
			if err := a.login(ctx); err != nil {
				return err
			}
			again = false
		}
		base, ok := a.endpoints[service]
		if !ok {
			a.token = "" // it may be there next time
			return fmt.Errorf("the catalogue has no service %s", service)
		}
		_, err := a.do(ctx, method, base+path, in, out)
		if !again || status(err) != http.StatusUnauthorized {
			return err
		}
		a.token = ""
	}
}

func (a *API) do(ctx context.Context, method, at string, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	// With which services of Nova have UUIDs, and PUT changes them.
	req.Header.Set("OpenStack-API-Version", "compute 2.53")
	if a.token != "" {
		req.Header.Set("X-Auth-Token", a.token)
	}
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, &statusError{resp.StatusCode, method + " " + req.URL.Path}
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return nil, fmt.Errorf("cannot read the answer to %s %s: %w", method, req.URL.Path, err)
	}
	return resp.Header, nil
}

// maxAnswer is in bytes; a compute takes some 500.
const maxAnswer = 8 << 20

// status is that of an answer, or 0.
func status(err error) int {
	var e *statusError
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

// object is a JSON object.
type object map[string]any

func (o object) text(key string) string { s, _ := o[key].(string); return s }

// list returns the list below the key of an answer.
func (a *API) list(ctx context.Context, service, path, key string) ([]object, error) {
	var doc map[string]json.RawMessage
	if err := a.call(ctx, service, http.MethodGet, path, nil, &doc); err != nil {
		return nil, err
	}
	var out []object
	if err := json.Unmarshal(doc[key], &out); err != nil {
		return nil, fmt.Errorf("the answer to %s holds no %s", path, key)
	}
	return out, nil
}

// Computes implements [Cloud].
func (a *API) Computes(ctx context.Context) ([]Compute, error) {
	services, err := a.list(ctx, compute, "/os-services?binary=nova-compute", "services")
	if err != nil {
		return nil, err
	}
	segment, err := a.segment(ctx)
	if err != nil {
		return nil, err
	}
	hosts, err := a.list(ctx, recovery, "/segments/"+segment+"/hosts", "hosts")
	if err != nil {
		a.segmentID = "" // somebody may have removed it
		return nil, err
	}
	if err := a.enrol(ctx, segment, services, hosts); err != nil {
		return nil, err
	}
	a.seen = map[string]ids{}
	var out []Compute
	for _, h := range hosts {
		i := slices.IndexFunc(services, func(s object) bool { return s["host"] == h["name"] })
		if i < 0 || a.Config.Computes[h.text("name")] == "" {
			continue
		}
		s := services[i]
		c := Compute{Name: h.text("name"), Up: s["state"] == "up", Maintenance: h["on_maintenance"] == true}
		if s["status"] == "disabled" {
			c.Disabled = s.text("disabled_reason")
		}
		a.seen[c.Name] = ids{service: s.text("id"), segment: segment, host: h.text("uuid")}
		out = append(out, c)
	}
	return out, nil
}

// segment returns the UUID of the segment of all computes, which is made first.
func (a *API) segment(ctx context.Context) (string, error) {
	if a.segmentID != "" {
		return a.segmentID, nil
	}
	for range 2 {
		all, err := a.list(ctx, recovery, "/segments", "segments")
		if err != nil {
			return "", err
		}
		for _, s := range all {
			if s["name"] == a.Config.Segment {
				a.segmentID = s.text("uuid")
				return a.segmentID, nil
			}
		}
		in := object{"segment": object{"name": a.Config.Segment, "recovery_method": "auto", "service_type": "COMPUTE"}}
		err = a.call(ctx, recovery, http.MethodPost, "/segments", in, nil)
		if err != nil && status(err) != http.StatusConflict { // another watcher was first
			return "", err
		}
	}
	return "", fmt.Errorf("cannot find the segment %s, which Masakari says it has", a.Config.Segment)
}

// enrol has Masakari know the computes of the cloud, and no others.
func (a *API) enrol(ctx context.Context, segment string, services, hosts []object) error {
	for _, s := range services {
		name := s.text("host")
		known := slices.ContainsFunc(hosts, func(h object) bool { return h["name"] == name })
		if known || a.Config.Computes[name] == "" {
			continue
		}
		in := object{"host": object{"name": name, "type": "COMPUTE", "control_attributes": "none"}}
		err := a.call(ctx, recovery, http.MethodPost, "/segments/"+segment+"/hosts", in, nil)
		if err != nil && status(err) != http.StatusConflict {
			return err
		}
	}
	for _, h := range hosts {
		if a.Config.Computes[h.text("name")] != "" {
			continue
		}
		err := a.call(ctx, recovery, http.MethodDelete, "/segments/"+segment+"/hosts/"+h.text("uuid"), nil, nil)
		// Masakari keeps one whose servers it still moves: next time.
		if err != nil && status(err) != http.StatusNotFound && status(err) != http.StatusConflict {
			return err
		}
	}
	return nil
}

// Notify implements [Cloud].
//
// Source: Masakari's API reference, "Notifications".
func (a *API) Notify(ctx context.Context, name string, at time.Time) error {
	err := a.call(ctx, recovery, http.MethodPost, "/notifications", object{"notification": object{
		"type": "COMPUTE_HOST", "hostname": name, "generated_time": at.UTC().Format("2006-01-02T15:04:05.000000"),
		"payload": object{"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"},
	}}, nil)
	if status(err) == http.StatusConflict {
		return nil
	}
	return err
}

// Vacate implements [Cloud]. Neutron's agents of a compute are its chassis in OVN, and
// with the chassis Neutron moves the gateways that were there. A chassis whose compute
// is back makes itself known again.
//
// Source: Neutron's API reference, "Networking Agents"; networking-ovn's
// l3_plugin.schedule_unhosted_gateways.
func (a *API) Vacate(ctx context.Context, name string) error {
	agents, err := a.list(ctx, network, "/v2.0/agents?host="+url.QueryEscape(name), "agents")
	if err != nil {
		return err
	}
	for _, agent := range agents {
		if agent["host"] != name {
			continue
		}
		err := a.call(ctx, network, http.MethodDelete, "/v2.0/agents/"+url.PathEscape(agent.text("id")), nil, nil)
		if err != nil && status(err) != http.StatusNotFound { // gone with another, or by another watcher
			return err
		}
	}
	return nil
}

// Disable implements [Cloud]. Nova takes reasons of so many characters.
//
// Source: Nova's API reference, "Update Compute Service"; nova/api/validation/parameter_types.py.
func (a *API) Disable(ctx context.Context, name, reason string) error {
	const most = 255
	if r := []rune(reason); len(r) > most {
		reason = string(r[:most])
	}
	in := object{"status": "disabled", "disabled_reason": reason}
	return a.call(ctx, compute, http.MethodPut, "/os-services/"+a.seen[name].service, in, nil)
}

// Restore implements [Cloud]. Nova comes last, as its reason is what says that there
// is something to restore.
func (a *API) Restore(ctx context.Context, name, person string) error {
	id := a.seen[name]
	err := a.call(ctx, recovery, http.MethodPut, "/segments/"+id.segment+"/hosts/"+id.host, object{"host": object{"on_maintenance": false}}, nil)
	if err != nil {
		return err
	}
	if person != "" {
		return a.Disable(ctx, name, person)
	}
	return a.call(ctx, compute, http.MethodPut, "/os-services/"+id.service, object{"status": "enabled"}, nil)
}
