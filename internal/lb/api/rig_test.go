package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// shared is the store of all tests: one etcd per run. Tests keep apart by their
// projects.
var shared *store.Store

// defaults are the quotas of projects without their own: few enough to reach.
var defaults = model.Limits{}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lb-api")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	shared, err = store.Open(context.Background(), store.Options{Dir: dir, WriteTimeout: 30 * time.Second, Quota: store.QuotaPolicy{Enforce: true, Defaults: defaults}})
	if err != nil {
		panic(err)
	}
	defer shared.Close()
	return m.Run()
}

// rig is a server with a project of its own.
type rig struct {
	t       testing.TB
	s       *Server
	project string
	header  map[string]string
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	policy, err := auth.NewPolicy()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Store: shared, Network: noop.Network{}, Auth: auth.NoAuth{}, Policy: policy}
	for _, f := range change {
		f(&opts)
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	project := strings.ReplaceAll(model.NewID(), "-", "")
	return &rig{t: t, s: s, project: project, header: map[string]string{"X-Project-Id": project}}
}

// answer is a response with its body read.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	doc    map[string]any
}

// do sends a request. A path that begins with "//" is taken as it is without one
// of them; others are put below a prefix.
func (r *rig) do(method, path string, body any) *answer {
	r.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		in = strings.NewReader(string(encode(b)))
	}
	if full, ok := strings.CutPrefix(path, "//"); ok {
		path = "/" + full
	} else if strings.HasPrefix(path, "/amphorae") {
		path = "/v2.0/octavia" + path
	} else {
		path = "/v2.0/lbaas" + path
	}
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, in)
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	r.s.ServeHTTP(w, req)
	a := &answer{t: r.t, status: w.Code, header: w.Header(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.doc)
	return a
}

// must sends a request that succeeds, and returns what stands under its only key.
func (r *rig) must(status int, method, path string, body any) map[string]any {
	r.t.Helper()
	a := r.do(method, path, body)
	if a.status != status {
		r.t.Fatalf("%s %s: %d instead of %d: %s", method, path, a.status, status, a.text)
	}
	for _, v := range a.doc {
		m, _ := v.(map[string]any)
		return m
	}
	return nil
}

// want checks the status and, unless empty, the fault string.
func (a *answer) want(status int, fault string) {
	a.t.Helper()
	got, _ := a.doc["faultstring"].(string)
	if got == "" {
		got, _ = a.doc["description"].(string)
	}
	if a.status != status || fault != "" && got != fault {
		a.t.Errorf("%d %q\nwanted %d %q\nbody %s", a.status, got, status, fault, a.text)
	}
}

// at digs out a value by a path such as "loadbalancer.listeners.0.id".
func (a *answer) at(path string) any {
	a.t.Helper()
	return dig(a.doc, path)
}

func dig(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch o := v.(type) {
		case map[string]any:
			v = o[key]
		case []any:
			var i int
			if _, err := fmt.Sscanf(key, "%d", &i); err != nil || i >= len(o) {
				return nil
			}
			v = o[i]
		default:
			return nil
		}
	}
	return v
}

type m = map[string]any

// settle does what a controller would: everything that is PENDING in a load
// balancer comes to its end.
func (r *rig) settle(lb string) {
	r.t.Helper()
	if err := settle(shared, lb); err != nil {
		r.t.Fatal(err)
	}
}

func settle(s *store.Store, lb string) error {
	return s.Update(context.Background(), func(tx *store.Tx) error {
		t := tx.Tree(lb)
		if t == nil {
			return nil
		}
		if t.LB.ProvisioningStatus == model.PendingDelete {
			return tx.Bury(lb)
		}
		for k := model.KindListener; k < model.KindAmphora; k++ {
			for _, o := range t.Children(k) {
				if err := settleChild(tx, o.(model.Object)); err != nil {
					return err
				}
			}
		}
		l := tx.LoadBalancer(lb).Clone()
		l.ProvisioningStatus, l.OperatingStatus = model.Active, model.OpOnline
		return tx.Update(l)
	})
}

func settleChild(tx *store.Tx, o model.Object) error {
	switch b := o.Common(); {
	case b.ProvisioningStatus == model.PendingDelete:
		return tx.Delete(o.Kind(), b.ID)
	case b.ProvisioningStatus.Pending():
		tx.SetProvisioning(o.Kind(), b.ID, model.Active)
	}
	return nil
}

const (
	subnetID  = "0aaaaaaa-0000-4000-8000-000000000001"
	networkID = "0aaaaaaa-0000-4000-8000-000000000002"
	noID      = "0fffffff-0000-4000-8000-00000000000f"
)

// lb creates a load balancer that is ACTIVE, and returns its id.
func (r *rig) lb(more ...m) string {
	r.t.Helper()
	body := m{"name": "lb", "vip_subnet_id": subnetID}
	for _, o := range more {
		for k, v := range o {
			body[k] = v
		}
	}
	id := r.must(201, "POST", "/loadbalancers", m{"loadbalancer": body})["id"].(string)
	r.settle(id)
	return id
}

// child creates something below a load balancer, settles, and returns its id.
func (r *rig) child(lb, path, wrapper string, body m) string {
	r.t.Helper()
	id := r.must(201, "POST", path, m{wrapper: body})["id"].(string)
	r.settle(lb)
	return id
}

func (r *rig) listener(lb string, port int, more ...m) string {
	r.t.Helper()
	body := m{"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": port}
	for _, o := range more {
		for k, v := range o {
			body[k] = v
		}
	}
	return r.child(lb, "/listeners", "listener", body)
}

func (r *rig) pool(lb string, more ...m) string {
	r.t.Helper()
	body := m{"loadbalancer_id": lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
	for _, o := range more {
		for k, v := range o {
			body[k] = v
		}
	}
	return r.child(lb, "/pools", "pool", body)
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
