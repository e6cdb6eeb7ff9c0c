package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// apis are Keystone, Nova and Masakari on one server: answers by method and path. A
// further request for something takes the next answer, if there is one.
type apis struct {
	answers map[string][]string
	log     []string
	url     string
}

func (a *apis) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	what := r.Method + " " + r.URL.RequestURI()
	if what != "POST /v3/auth/tokens" && r.Header.Get("X-Auth-Token") == "" {
		what += " without a token"
	}
	answers := a.answers[what]
	if r.Method != http.MethodGet {
		a.log = append(a.log, strings.TrimSpace(what+" "+string(body)))
	}
	if len(answers) == 0 {
		http.NotFound(w, r)
		return
	}
	if len(answers) > 1 {
		a.answers[what] = answers[1:]
	}
	status, text, _ := strings.Cut(answers[0], " ")
	w.Header().Set("X-Subject-Token", "token")
	code := 0
	_, _ = fmt.Sscan(status, &code)
	w.WriteHeader(code)
	_, _ = io.WriteString(w, strings.ReplaceAll(text, "@", a.url))
}

const catalogue = `201 {"token": {"catalog": [
	{"type": "compute", "endpoints": [{"interface": "public", "region": "RegionOne", "url": "x"}, {"interface": "internal", "region": "RegionOne", "url": "@/v2.1"}]},
	{"type": "network", "endpoints": [{"interface": "internal", "region": "RegionOne", "url": "@/"}]},
	{"type": "instance-ha", "endpoints": [{"interface": "internal", "region": "Other", "url": "x"}, {"interface": "internal", "region": "RegionOne", "url": "@/v1"}]}
]}}`

func newAPI(t *testing.T, answers map[string][]string) (*API, *apis) {
	t.Helper()
	a := &apis{answers: answers}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	if answers["POST /v3/auth/tokens"] == nil {
		answers["POST /v3/auth/tokens"] = []string{catalogue}
	}
	config := Config{
		AuthURL: s.URL + "/v3", User: "masakari", Project: "service", Region: "RegionOne", Segment: "all",
		Computes: map[string]string{"c1": "192.0.2.1:1", "c2": "192.0.2.2:1"},
	}
	return &API{Config: config, HTTP: s.Client()}, a
}

const (
	services = "GET /v2.1/os-services?binary=nova-compute"
	both     = `200 {"services": [
		{"id": "s1", "host": "c1", "state": "down", "status": "disabled", "disabled_reason": "` + Reason + `"},
		{"id": "s2", "host": "c2", "state": "up", "status": "enabled", "disabled_reason": null}]}`
	segments = `200 {"segments": [{"name": "other", "uuid": "g0"}, {"name": "all", "uuid": "g1"}]}`
)

func TestComputesAreWhatBothServicesSay(t *testing.T) {
	api, served := newAPI(t, map[string][]string{
		services: {both}, "GET /v1/segments": {segments},
		"GET /v1/segments/g1/hosts":    {`200 {"hosts": [{"name": "c1", "uuid": "h1", "on_maintenance": true}, {"name": "c2", "uuid": "h2", "on_maintenance": false}]}`},
		"PUT /v1/segments/g1/hosts/h1": {"200 {}"}, "PUT /v2.1/os-services/s1": {"200 {}"}, "POST /v1/notifications": {"202 {}", "409 {}"},
	})
	got, err := api.Computes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Compute{{Name: "c1", Disabled: Reason, Maintenance: true}, {Name: "c2", Up: true}}, got); diff != "" {
		t.Error(diff)
	}
	served.log = nil
	at := time.Date(2026, 11, 21, 14, 0, 0, 500000000, time.UTC)
	for range 2 { // what it was told already is no error
		if err := api.Notify(t.Context(), "c1", at); err != nil {
			t.Error(err)
		}
	}
	if err := api.Restore(t.Context(), "c1", ""); err != nil {
		t.Error(err)
	}
	if err := api.Restore(t.Context(), "c1", "disk"); err != nil {
		t.Error(err)
	}
	told := `POST /v1/notifications {"notification":{"generated_time":"2026-11-21T14:00:00.500000","hostname":"c1",` +
		`"payload":{"cluster_status":"OFFLINE","event":"STOPPED","host_status":"NORMAL"},"type":"COMPUTE_HOST"}}`
	const present = `PUT /v1/segments/g1/hosts/h1 {"host":{"on_maintenance":false}}`
	want := []string{
		told, told, present, `PUT /v2.1/os-services/s1 {"status":"enabled"}`,
		present, `PUT /v2.1/os-services/s1 {"disabled_reason":"disk","status":"disabled"}`,
	}
	if diff := cmp.Diff(want, served.log); diff != "" {
		t.Error(diff)
	}
}

func TestTheNetworksDoWithoutAComputeThatDied(t *testing.T) {
	const agents = "GET /v2.0/agents?host=c1"
	api, served := newAPI(t, map[string][]string{
		agents:                   {`200 {"agents": [{"id": "a1", "host": "c1"}, {"id": "a2", "host": "c1"}, {"id": "a3", "host": "c2"}]}`, "503 {}"},
		"DELETE /v2.0/agents/a1": {"204", "409 {}"}, // a2 went with it
	})
	if err := api.Vacate(t.Context(), "c1"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"DELETE /v2.0/agents/a1", "DELETE /v2.0/agents/a2"}, served.log[1:]); diff != "" {
		t.Error(diff)
	}
	if err := api.Vacate(t.Context(), "c1"); err == nil {
		t.Error("Neutron does not answer, and nothing is said")
	}
}

func TestMasakariKnowsTheComputesOfTheCloudAndNoOthers(t *testing.T) {
	api, served := newAPI(t, map[string][]string{
		services:                          {strings.Replace(both, `"c1"`, `"stranger"`, 1)},
		"GET /v1/segments":                {`200 {"segments": []}`, segments},
		"POST /v1/segments":               {"409 {}"}, // another watcher was first
		"GET /v1/segments/g1/hosts":       {`200 {"hosts": [{"name": "gone", "uuid": "h9"}]}`},
		"POST /v1/segments/g1/hosts":      {"201 {}"},
		"DELETE /v1/segments/g1/hosts/h9": {"204"},
	})
	got, err := api.Computes(t.Context())
	if err != nil || len(got) > 0 {
		t.Errorf("%v %v", got, err)
	}
	want := []string{
		`POST /v1/segments {"segment":{"name":"all","recovery_method":"auto","service_type":"COMPUTE"}}`,
		`POST /v1/segments/g1/hosts {"host":{"control_attributes":"none","name":"c2","type":"COMPUTE"}}`,
		`DELETE /v1/segments/g1/hosts/h9`,
	}
	if diff := cmp.Diff(want, served.log[1:]); diff != "" {
		t.Error(diff)
	}
}

func TestATokenThatIsOverIsReplaced(t *testing.T) {
	api, served := newAPI(t, map[string][]string{
		services: {"401 {}", both}, "GET /v1/segments": {segments}, "GET /v1/segments/g1/hosts": {`200 {"hosts": []}`},
		"POST /v1/segments/g1/hosts": {"201 {}"},
	})
	api.token, api.endpoints = "old", map[string]string{compute: served.url + "/v2.1", recovery: served.url + "/v1"}
	if _, err := api.Computes(t.Context()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(strings.Join(served.log, "\n"), "auth/tokens"); n != 1 {
		t.Errorf("%d tokens were taken", n)
	}
	var body struct {
		Auth struct{ Scope json.RawMessage }
	}
	_ = json.Unmarshal([]byte(strings.SplitN(served.log[0], " ", 3)[2]), &body)
	if string(body.Auth.Scope) != `{"project":{"domain":{"name":"Default"},"name":"service"}}` {
		t.Errorf("scope: %s", body.Auth.Scope)
	}
}

func TestWhatFailsIsSaid(t *testing.T) {
	for rule, answers := range map[string]map[string][]string{
		"the password is wrong":     {"POST /v3/auth/tokens": {"401 {}"}},
		"Nova fails":                {services: {"503 {}"}},
		"the answer is none":        {services: {"200 <html>"}},
		"the list is missing":       {services: {`200 {}`}},
		"there is no such service":  {"POST /v3/auth/tokens": {`201 {"token": {"catalog": []}}`}},
		"Masakari fails":            {services: {both}, "GET /v1/segments": {"500 {}"}},
		"no segment can be made":    {services: {both}, "GET /v1/segments": {`200 {"segments": []}`}, "POST /v1/segments": {"403 {}"}},
		"a made segment is nowhere": {services: {both}, "GET /v1/segments": {`200 {"segments": []}`}, "POST /v1/segments": {"201 {}"}},
	} {
		api, _ := newAPI(t, answers)
		if _, err := api.Computes(t.Context()); err == nil {
			t.Errorf("%s, and nothing is said", rule)
		}
	}
}
