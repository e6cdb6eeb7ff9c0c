package lab_test

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// catalogue is as much of Keystone's API v3 as clients and services need to find
// each other: tokens, their validation, the catalog, projects and users.
type catalogue struct {
	t           *testing.T
	url, target string
	validated   atomic.Int64
}

const (
	ksProject = "5f0d1a9bd2a84f0ea7c2d0f1b8a3c6e1"
	ksUser    = "8c7b6a5d4e3f42a1b0c9d8e7f6a5b4c3"
)

// startKeystone serves within a namespace, with a catalog in which everything is
// at the target.
func startKeystone(t *testing.T, listen func() (net.Listener, error), target string) *catalogue {
	t.Helper()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	k := &catalogue{t: t, url: "http://" + l.Addr().String(), target: target}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", k.versions)
	mux.HandleFunc("GET /v3", k.versions)
	mux.HandleFunc("GET /v3/{$}", k.versions)
	mux.HandleFunc("POST /v3/auth/tokens", k.issue)
	mux.HandleFunc("GET /v3/auth/tokens", k.validate)
	mux.HandleFunc("GET /v3/projects", k.list("projects", item{"id": ksProject, "name": "demo", "domain_id": "default", "enabled": true}))
	mux.HandleFunc("GET /v3/projects/{id}", k.one("project", item{"id": ksProject, "name": "demo", "domain_id": "default", "enabled": true}))
	mux.HandleFunc("GET /v3/users/{id}", k.one("user", item{"id": ksUser, "name": "admin", "domain_id": "default", "enabled": true}))
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return k
}

type item = map[string]any

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (k *catalogue) versions(w http.ResponseWriter, r *http.Request) {
	v := item{"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": []item{{"rel": "self", "href": k.url + "/v3/"}},
		"media-types": []item{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}}}
	if strings.HasPrefix(r.URL.Path, "/v3") {
		answerJSON(w, http.StatusOK, item{"version": v})
		return
	}
	answerJSON(w, http.StatusMultipleChoices, item{"versions": item{"values": []item{v}}})
}

func (k *catalogue) token(roles ...string) item {
	var rs, catalog []item
	for _, r := range roles {
		rs = append(rs, item{"id": r, "name": r})
	}
	for kind, url := range map[string]string{"load-balancer": k.target, "network": k.target, "identity": k.url + "/v3"} {
		catalog = append(catalog, item{"type": kind, "name": kind, "id": kind, "endpoints": []item{
			{"id": kind + "-public", "interface": "public", "region": "here", "region_id": "here", "url": url}}})
	}
	now := time.Now().UTC()
	return item{"methods": []string{"password"}, "issued_at": now.Format(time.RFC3339), "expires_at": now.Add(time.Hour).Format("2006-01-02T15:04:05.000000Z"),
		"user":    item{"id": ksUser, "name": "admin", "domain": item{"id": "default", "name": "Default"}},
		"project": item{"id": ksProject, "name": "demo", "domain": item{"id": "default", "name": "Default"}},
		"roles":   rs, "catalog": catalog, "is_domain": false}
}

// issue gives the token whose text is the name of the user, if the password is
// right.
func (k *catalogue) issue(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Auth.Identity.Password.User.Password != "secret" {
		answerJSON(w, http.StatusUnauthorized, item{"error": item{"code": 401, "title": "Unauthorized", "message": "no"}})
		return
	}
	w.Header().Set("X-Subject-Token", "token-of-"+in.Auth.Identity.Password.User.Name)
	answerJSON(w, http.StatusCreated, item{"token": k.token("admin", "member", "reader")})
}

func (k *catalogue) validate(w http.ResponseWriter, r *http.Request) {
	k.validated.Add(1)
	switch {
	case r.Header.Get("X-Auth-Token") != "token-of-octavia":
		answerJSON(w, http.StatusUnauthorized, item{"error": item{"code": 401}})
	case !strings.HasPrefix(r.Header.Get("X-Subject-Token"), "token-of-"):
		answerJSON(w, http.StatusNotFound, item{"error": item{"code": 404}})
	default:
		w.Header().Set("X-Subject-Token", r.Header.Get("X-Subject-Token"))
		answerJSON(w, http.StatusOK, item{"token": k.token("admin", "member", "reader")})
	}
}

func (k *catalogue) list(key string, i item) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found := []item{}
		if n := r.URL.Query().Get("name"); n == "" || n == i["name"] {
			found = append(found, i)
		}
		answerJSON(w, http.StatusOK, item{key: found, "links": item{}})
	}
}

func (k *catalogue) one(key string, i item) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != i["id"] {
			answerJSON(w, http.StatusNotFound, item{"error": item{"code": 404, "title": "Not Found", "message": "Could not find " + key}})
			return
		}
		answerJSON(w, http.StatusOK, item{key: i})
	}
}
