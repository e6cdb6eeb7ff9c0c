package guard

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	etcdclient "github.com/updraft-cloud/updraft/internal/openstack/etcd/client"
)

// gateway answers as etcd does, and keeps what it was asked.
func gateway(t *testing.T, answers map[string]string) (*Store, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimPrefix(r.URL.Path, "/v3/")+" "+string(body))
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.Error(w, `{"error":"etcdserver: no leader"}`, http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return &Store{etcdclient.Client{Endpoints: []string{"http://127.0.0.1:1", s.URL}, HTTP: s.Client()}}, &asked
}

func TestReportsAreStoredUnderALeaseAndReadBack(t *testing.T) {
	want := says("a", Live, three("a"), at(10))
	text, err := json.Marshal(etcdclient.Pair{Key: []byte(reportsPrefix + "a"), Value: mustJSON(t, want), LeaseID: "77"})
	if err != nil {
		t.Fatal(err)
	}
	s, asked := gateway(t, map[string]string{
		"/v3/lease/grant": `{"header":{},"ID":"77","TTL":"20"}`, "/v3/kv/put": `{"header":{}}`, "/v3/kv/range": `{"kvs":[` + string(text) + `],"count":"1"}`,
	})
	if err := s.Publish(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got := (*asked)[1]; !strings.HasPrefix(got, "kv/put {") || !strings.Contains(got, `"lease":"77"`) {
		t.Errorf("it asked %q", *asked)
	}
	got, err := s.Reports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Report{want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestARightIsTakenOnce(t *testing.T) {
	s, _ := gateway(t, map[string]string{"/v3/kv/txn": `{"succeeded":true,"responses":[{"response_put":{}}]}`})
	if holder, err := s.Take(t.Context(), "5e21:7", "a"); holder != "a" || err != nil {
		t.Errorf("it is %q's, %v", holder, err)
	}
	s, _ = gateway(t, map[string]string{"/v3/kv/txn": `{"responses":[{"response_range":{"kvs":[{"key":"eA==","value":"Yg=="}]}}]}`})
	if holder, err := s.Take(t.Context(), "5e21:7", "a"); holder != "b" || err != nil {
		t.Errorf("it is %q's, %v", holder, err)
	}
}

func TestWithoutAMajorityOfEtcdThereIsNoAnswer(t *testing.T) {
	s, _ := gateway(t, nil)
	if _, err := s.Reports(t.Context()); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("it says %v", err)
	}
	if _, err := s.Take(t.Context(), "5e21:7", "a"); err == nil {
		t.Error("a right was taken")
	}
}
