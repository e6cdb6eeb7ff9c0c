package serve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
)

func TestWhatClientsAskOfNeutron(t *testing.T) {
	const id = "0aaaaaaa-0000-4000-8000-000000000001"
	s := &service{Config: Config{Network: driverNoop}}
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := s.withNetworks(api, auth.NoAuth{})
	for _, c := range []struct {
		method, path string
		status       int
		has          string
	}{
		{"GET", "/v2.0/subnets/" + id, 200, `{"subnet":{`},
		{"GET", "/v2.0/subnets/" + id + ".json", 200, `"id":"` + id + `"`},
		{"GET", "/v2.0/networks?id=" + id, 200, `{"networks":[{`},
		{"GET", "/v2.0/networks/", 200, `{"networks":[]}`},
		{"GET", "/v2.0/qos/policies/" + id, 200, `{"policy":{`},
		{"GET", "/v2.0/networks/none", 404, "could not be found"},
		{"POST", "/v2.0/networks", 418, ""},
		{"GET", "/v2.0//networks", 418, ""},
		{"GET", "/v2.0/lbaas/../networks", 418, ""},
		{"GET", "/v2.0/networks/a/b", 418, ""},
		{"GET", "/v2.0/loadbalancers", 418, ""},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, c.path, nil)
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}
