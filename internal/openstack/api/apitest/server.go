// Package apitest has a cloud's API in memory for tests: Keystone, Glance, Nova,
// Neutron and Placement, as far as updraft speaks to them.
//
// It is strict: what the real services refuse it refuses, with their status and
// in their form of error (unknown attributes, missing tokens, wrong methods, a
// second thing of a name that must be unique, a network with ports on it). It is
// stateful, renders itself as text, and can be cut off after any change.
package apitest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Password is that of the user admin at first.
const Password = "admin-password-of-the-fake"

// TokenPrefix is what every token begins with.
const TokenPrefix = "gAAAAA-token-of-the-fake"

// domainID is that of the domain Default (in a real cloud, it is "default", which
// cannot be told from a name).
const domainID = "dddddddd-default"

// obj is a thing or a part of a body.
type obj = map[string]any

// Cloud is the API in memory.
type Cloud struct {
	t   testing.TB
	srv *httptest.Server

	mu     sync.Mutex
	things map[string][]obj // by plural name
	blobs  map[string][]byte
	keys   map[string][]obj // key pairs by user
	quotas map[string]obj   // by service and project
	grants []string         // paths below the collection, sorted
	next   int
	calls  []string
	budget int // changes left before the cut; negative: no bound
	cut    bool
	down   map[string]int // status that a service answers with
	epoch  int            // of tokens
	given  int            // tokens so far
	hangs  string         // service that does not answer
	lose   int            // changes that are carried out, and answered by a proxy that gave up

	// Boot decides what becomes of a new server: its console log, and a fault
	// in place of ACTIVE if not empty.
	Boot func(server obj) (console, fault string)
	// Undeleted is how many deletions of servers are taken and end in ERROR.
	Undeleted int
}

// New returns a cloud in which Keystone was bootstrapped, and, unless bare, the
// other services are registered too.
func New(t testing.TB, bare bool) *Cloud {
	t.Helper()
	c := &Cloud{
		t: t, budget: -1, things: map[string][]obj{}, blobs: map[string][]byte{}, keys: map[string][]obj{},
		quotas: map[string]obj{}, down: map[string]int{},
		Boot: func(obj) (string, string) { return "", "" },
	}
	c.srv = httptest.NewTLSServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.srv.Close)
	c.put("domains", obj{"id": domainID, "name": "Default", "enabled": true})
	admin := c.put("projects", obj{"name": "admin", "domain_id": domainID, "enabled": true, "description": ""})
	user := c.put("users", obj{"name": "admin", "domain_id": domainID, "enabled": true, "password": Password})
	for _, name := range []string{"admin", "member", "reader"} {
		c.put("roles", obj{"name": name, "domain_id": nil, "description": ""})
	}
	role := c.things["roles"][0]
	c.grants = append(c.grants, "projects/"+str(admin["id"])+"/users/"+str(user["id"])+"/roles/"+str(role["id"]))
	c.Register("keystone", "identity", "/identity/v3")
	if !bare {
		for name, at := range Paths() {
			c.Register(name, at[0], at[1])
		}
	}
	return c
}

// Paths are the services but Keystone: type and path by name.
func Paths() map[string][2]string {
	return map[string][2]string{
		"glance": {"image", "/image"}, "nova": {"compute", "/compute/v2.1"},
		"neutron": {"network", "/network"}, "placement": {"placement", "/placement"},
	}
}

// Register adds a service with its endpoints.
func (c *Cloud) Register(name, kind, path string) {
	s := c.put("services", obj{"name": name, "type": kind, "enabled": true, "description": ""})
	for _, i := range []string{"public", "internal", "admin"} {
		c.put("endpoints", obj{
			"service_id": s["id"], "interface": i, "region_id": "RegionOne", "region": "RegionOne", "url": c.srv.URL + path, "enabled": true,
		})
	}
}

// URL is where the API answers; AuthURL is Keystone's.
func (c *Cloud) URL() string { return c.srv.URL }

// AuthURL is Keystone's.
func (c *Cloud) AuthURL() string { return c.srv.URL + "/identity/v3" }

// CA is the certificate to trust, in PEM.
func (c *Cloud) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.srv.Certificate().Raw}))
}

// CutAfter lets n more changing requests be carried out. The answer to the last
// of them is lost, and nothing is answered from then on, until Mend.
func (c *Cloud) CutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget, c.cut = n, n == 0
}

// Mend lets everything through again, and returns whether it was cut.
func (c *Cloud) Mend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.cut
	c.budget, c.cut = -1, false
	return was
}

// Expire makes all tokens invalid that were given so far.
func (c *Cloud) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
}

func (c *Cloud) token() string { return fmt.Sprintf("%s-%d-", TokenPrefix, c.epoch) }

// Hang has a service accept requests and not answer them until the test ends.
func (c *Cloud) Hang(service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangs = service
}

// LoseAnswers has a proxy give up on the next n changing requests, which are
// carried out all the same.
func (c *Cloud) LoseAnswers(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose = n
}

// Down has a service, such as "compute", answer with a status; 0 ends that.
func (c *Cloud) Down(service string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down[service] = status
}

// Calls returns the requests since the last call, and forgets them.
func (c *Cloud) Calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.calls
	c.calls = nil
	return out
}

// Changes returns those of the calls that change something.
func Changes(calls []string) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(s string) bool {
		return strings.HasPrefix(s, "GET ") || strings.HasPrefix(s, "POST /identity/v3/auth/tokens")
	})
}

// Set changes attributes of the thing of a name behind updraft's back.
func (c *Cloud) Set(plural, name string, changes map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.named(plural, name)
	if o == nil {
		c.t.Fatalf("there is no %s among %s", name, plural)
	}
	maps.Copy(o, changes)
}

// Delete removes the thing of a name behind updraft's back.
func (c *Cloud) Delete(plural, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.things[plural] = slices.DeleteFunc(c.things[plural], func(o obj) bool { return o["name"] == name })
}

// Add adds a thing behind updraft's back and returns its ID.
func (c *Cloud) Add(plural string, o map[string]any) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return str(c.put(plural, o)["id"])
}

// Get returns an attribute of the thing of a name.
func (c *Cloud) Get(plural, name, attr string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.named(plural, name)[attr]
}

// Count returns how many things there are.
func (c *Cloud) Count(plural string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.things[plural])
}

func (c *Cloud) named(plural, name string) obj {
	for _, o := range c.things[plural] {
		if o["name"] == name {
			return o
		}
	}
	return nil
}

// String renders everything but IDs and secrets, sorted.
func (c *Cloud) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	names := map[string]string{}
	for plural, list := range c.things {
		for _, o := range list {
			names[str(o["id"])] = plural + "/" + str(o["name"])
		}
	}
	line := func(what string, v any) {
		b, _ := json.Marshal(v)
		text := what + " " + string(b)
		for id, name := range names {
			text = strings.ReplaceAll(text, id, name)
		}
		lines = append(lines, text)
	}
	for plural, list := range c.things {
		for _, o := range list {
			o = maps.Clone(o)
			delete(o, "password")
			delete(o, "id")
			if rules, ok := o["security_group_rules"].([]any); ok {
				o["security_group_rules"] = rulesText(rules)
			}
			line(plural, o)
		}
	}
	for user, list := range c.keys {
		for _, k := range list {
			line("keypairs of "+user, k)
		}
	}
	for at, q := range c.quotas {
		line("quota "+at, q)
	}
	for _, g := range c.grants {
		line("grant", g)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// rulesText renders rules without their IDs, sorted.
func rulesText(rules []any) []string {
	var out []string
	for _, x := range rules {
		r := maps.Clone(x.(obj))
		delete(r, "id")
		out = append(out, string(must(json.Marshal(r))))
	}
	slices.Sort(out)
	return out
}

// put adds a thing. The caller holds the lock, or is alone.
func (c *Cloud) put(plural string, o obj) obj {
	c.next++
	if o["id"] == nil {
		o["id"] = fmt.Sprintf("%08x-0000-4000-8000-%012x", c.next, c.next)
	}
	c.things[plural] = append(c.things[plural], o)
	return o
}

func (c *Cloud) byID(plural, id string) obj {
	for _, o := range c.things[plural] {
		if str(o["id"]) == id {
			return o
		}
	}
	return nil
}

func str(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	text   string
}

func refuse(status int, format string, args ...any) {
	panic(refusal{status, fmt.Sprintf(format, args...)})
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hangs != "" && strings.HasPrefix(r.URL.Path, "/"+c.hangs) {
		c.mu.Unlock()
		<-r.Context().Done()
		c.mu.Lock()
		return
	}
	call := r.Method + " " + r.URL.Path
	if r.URL.RawQuery != "" {
		call += "?" + r.URL.RawQuery
	}
	c.calls = append(c.calls, call)
	if c.cut {
		panic(http.ErrAbortHandler)
	}
	service, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	status, body, err := c.answer(service, path, r, w.Header())
	if changes := len(Changes([]string{call})) > 0; changes && c.budget > 0 {
		if c.budget--; c.budget == 0 {
			c.cut = true
			panic(http.ErrAbortHandler)
		}
	}
	if len(Changes([]string{call})) > 0 && c.lose > 0 {
		c.lose--
		err = &refusal{http.StatusGatewayTimeout, "The server didn't respond in time."}
	}
	w.Header().Set("X-Openstack-Request-Id", fmt.Sprintf("req-%08d", len(c.calls)))
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status, body = err.status, errorBody(service, err)
	}
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body) // the client sees what is missing
	}
}

// errorBody is the form in which each service tells errors.
func errorBody(service string, e *refusal) any {
	switch service {
	case "network":
		return obj{"NeutronError": obj{"type": "Error", "message": e.text, "detail": ""}}
	case "compute":
		return obj{"badRequest": obj{"code": e.status, "message": e.text}}
	case "identity":
		return obj{"error": obj{"code": e.status, "message": e.text, "title": http.StatusText(e.status)}}
	}
	return obj{"errors": []obj{{"status": e.status, "detail": e.text}}}
}

func (c *Cloud) answer(service, path string, r *http.Request, header http.Header) (status int, body any, err *refusal) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(refusal)
			if !ok {
				panic(p)
			}
			err = &e
		}
	}()
	if s := c.down[service]; s != 0 {
		refuse(s, "the service is down")
	}
	if service == "identity" && path == "v3/auth/tokens" && r.Method == http.MethodPost {
		return http.StatusCreated, c.authenticate(r, header), nil
	}
	if !strings.HasPrefix(r.Header.Get("X-Auth-Token"), c.token()) {
		refuse(http.StatusUnauthorized, "The request you have made requires authentication.")
	}
	prefix := map[string]string{"identity": "v3/", "compute": "v2.1/", "image": "v2/", "network": "v2.0/", "placement": ""}[service]
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		refuse(http.StatusNotFound, "no such version")
	}
	status, body = c.route(service, strings.Split(rest, "/"), r)
	return status, body, nil
}

// authenticate gives a token for a password.
func (c *Cloud) authenticate(r *http.Request, header http.Header) any {
	var in struct {
		Auth struct {
			Identity struct {
				Methods  []string
				Password struct {
					User struct {
						ID, Name, Password string
						Domain             struct{ ID, Name string }
					}
				}
			}
			Scope json.RawMessage
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(http.StatusBadRequest, "Malformed body")
	}
	given := in.Auth.Identity.Password.User
	var user obj
	for _, o := range c.things["users"] {
		if given.ID != "" && o["id"] == given.ID || given.Name != "" && o["name"] == given.Name && given.Domain.Name == "Default" {
			user = o
		}
	}
	if user == nil || user["password"] != given.Password || user["enabled"] != true {
		refuse(http.StatusUnauthorized, "The request you have made requires authentication.")
	}
	c.given++
	header.Set("X-Subject-Token", c.token()+fmt.Sprint(c.given)) // no two are the same
	out := obj{"methods": []string{"password"}, "expires_at": "2099-01-01T00:00:00.000000Z", "user": obj{"id": user["id"], "name": user["name"]}}
	if string(in.Auth.Scope) == `"unscoped"` {
		return obj{"token": out}
	}
	var scope struct {
		Project struct{ Name string }
	}
	if err := json.Unmarshal(in.Auth.Scope, &scope); err != nil {
		refuse(http.StatusBadRequest, "Malformed scope")
	}
	project := c.named("projects", scope.Project.Name)
	if project == nil || !slices.ContainsFunc(c.grants, func(g string) bool {
		return strings.HasPrefix(g, "projects/"+str(project["id"])+"/users/"+str(user["id"])+"/")
	}) {
		refuse(http.StatusUnauthorized, "The request you have made requires authentication.")
	}
	out["project"] = obj{"id": project["id"], "name": project["name"], "domain": obj{"id": domainID, "name": "Default"}}
	out["catalog"] = c.catalog()
	return obj{"token": out}
}

func (c *Cloud) catalog() []obj {
	var out []obj
	for _, s := range c.things["services"] {
		entry := obj{"id": s["id"], "type": s["type"], "name": s["name"]}
		var endpoints []obj
		for _, e := range c.things["endpoints"] {
			if e["service_id"] == s["id"] {
				endpoints = append(endpoints, obj{"id": e["id"], "interface": e["interface"], "region": e["region_id"], "region_id": e["region_id"], "url": e["url"]})
			}
		}
		entry["endpoints"] = endpoints
		out = append(out, entry)
	}
	return out
}
