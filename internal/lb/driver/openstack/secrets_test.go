package openstack_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/openstack"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// service is the id of the service's account.
const service = "octavia-id"

// vault is who may read what of Barbican, as Barbican keeps it. Without any lists the
// service may read everything.
type vault struct {
	mu      sync.Mutex
	lists   map[string]object // what is below "read", by place and id
	changes int
	fixed   bool // nobody may change a list
}

func (v *vault) readers(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	of := r.PathValue("place") + "/" + r.PathValue("id")
	if r.Method == http.MethodGet {
		read := v.lists[of]
		if read == nil {
			read = object{"project-access": true}
		}
		answer(w, 200, object{"read": read})
		return
	}
	var in struct{ Read object }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Read["users"] == nil || v.fixed {
		answer(w, 403, object{})
		return
	}
	v.lists[of] = in.Read
	v.changes++
	answer(w, 200, object{"acl_ref": r.URL.Path})
}

// refuses is Barbican's rule for who is in no role of a secret's project.
func (v *vault) refuses(r *http.Request) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	words := strings.Split(strings.TrimPrefix(r.URL.Path, "/key/v1/"), "/")
	if v.lists == nil || len(words) < 2 || !strings.HasPrefix(r.URL.Path, "/key/v1/") {
		return 0
	}
	if users, _ := v.lists[words[0]+"/"+words[1]]["users"].([]any); slices.Contains(users, any(service)) {
		return 0
	}
	return http.StatusForbidden
}

func (c *cloud) container(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != "web" {
		answer(w, 404, object{"code": 404})
		return
	}
	refs := []object{}
	for id := range c.secrets {
		refs = append(refs, object{"name": id, "secret_ref": c.url + "/key/v1/secrets/" + id})
	}
	answer(w, 200, object{"type": "certificate", "name": "web", "secret_refs": refs, "status": "ACTIVE"})
}

func (c *cloud) consumer(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name, URL string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "" {
		answer(w, 400, object{})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method == http.MethodDelete {
		if !c.users[in.URL] {
			answer(w, 404, object{})
			return
		}
		delete(c.users, in.URL)
	} else {
		c.users[in.URL] = true
	}
	answer(w, 200, object{})
}

func (c *cloud) payload(w http.ResponseWriter, r *http.Request) {
	data, ok := c.secrets[r.PathValue("id")]
	if !ok {
		answer(w, 404, object{})
		return
	}
	_, _ = w.Write([]byte(data))
}

func TestBarbicansContainersAndBundles(t *testing.T) {
	c, o := newCloud(t)
	ca, err := pki.NewAuthority("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("www.example.com", []string{"www.example.com"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.secrets = map[string]string{"certificate": cert, "private_key": key, "intermediates": ca.Cert}
	s := openstack.NewSecrets(o)
	ref := "https://barbican.example/v1/containers/web"
	got, err := s.Certificate(t.Context(), ref)
	if err != nil || string(got.Certificate) != cert || string(got.Intermediates) != ca.Cert || got.Ref != ref {
		t.Errorf("%+v, %v", got, err)
	}
	for range 2 {
		if err := s.Register(t.Context(), ref, "lb1"); err != nil || !c.users["lbaas://lb1"] {
			t.Errorf("registered: %v, %v", c.users, err)
		}
	}
	if err := s.Unregister(t.Context(), ref, "lb1"); err != nil || len(c.users) > 0 {
		t.Errorf("unregistered: %v, %v", c.users, err)
	}
	if data, err := s.Secret(t.Context(), "https://barbican.example/v1/secrets/intermediates"); err != nil || string(data) != ca.Cert {
		t.Errorf("%q, %v", data, err)
	}
	for _, bad := range []string{"https://barbican.example/v1/containers/none", "local:web", "", "https://x/v1/secrets/"} {
		if _, err := s.Certificate(t.Context(), bad); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	c.secrets["private_key_passphrase"] = "x"
	if _, err := s.Certificate(t.Context(), ref); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a key with a pass phrase: %v", err)
	}
}

// TestWhatOthersHaveIsNotSeen asks with tokens: that of the service sees everything,
// that of a user what is the user's.
func TestWhatOthersHaveIsNotSeen(t *testing.T) {
	c, o := newCloud(t)
	c.secrets = map[string]string{"certificate": "c", "private_key": "k"}
	c.own = map[string]bool{"/network/v2.0/networks/net": true, "/key/v1/containers/web": true, "/key/v1/secrets/certificate/payload": true, "/key/v1/secrets/private_key/payload": true}
	n, s := openstack.NewNetwork(o, "one"), openstack.NewSecrets(o)
	web, key := "https://barbican.example/v1/containers/web", "https://barbican.example/v1/secrets/private_key"
	for _, ok := range []error{
		n.MaySee(t.Context(), "user", "Network", "net"), s.MaySee(t.Context(), "user", "Secret", web), s.MaySee(t.Context(), "user", "Secret", key),
	} {
		if ok != nil {
			t.Error(ok)
		}
	}
	c.own["/key/v1/secrets/private_key/payload"] = false // a container with the key of somebody else
	for _, not := range []error{
		n.MaySee(t.Context(), "user", "Subnet", "sub"), n.MaySee(t.Context(), "stranger", "Network", "net"), n.MaySee(t.Context(), "", "Network", "net"),
		s.MaySee(t.Context(), "user", "Secret", web), s.MaySee(t.Context(), "user", "Secret", key), s.MaySee(t.Context(), "stranger", "Secret", web), s.MaySee(t.Context(), "user", "Secret", "local:x"),
	} {
		if !errors.Is(not, driver.ErrNotFound) {
			t.Error(not)
		}
	}
}

// TestSecretsAreLentByWhoNamesThem has the owner's token say that the service may
// read, and leaves what else was said.
func TestSecretsAreLentByWhoNamesThem(t *testing.T) {
	c, o := newCloud(t)
	ca, err := pki.NewAuthority("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("www.example.com", []string{"www.example.com"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.secrets = map[string]string{"certificate": cert, "private_key": key}
	c.own = map[string]bool{"/key/v1/containers/web": true, "/key/v1/secrets/certificate": true, "/key/v1/secrets/private_key": true}
	c.vault.lists = map[string]object{"secrets/private_key": {"users": []any{"somebody"}, "project-access": false}}
	s, ref := openstack.NewSecrets(o), "https://barbican.example/v1/containers/web"
	reads := func(want error) {
		t.Helper()
		if _, err := s.Certificate(t.Context(), ref); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	c.vault.fixed = true
	for _, token := range []string{"stranger", "user"} { // who may not say so has not lent it
		if err := s.Lend(t.Context(), token, ref); err != nil {
			t.Error(err)
		}
		reads(driver.ErrForbidden)
	}
	c.vault.fixed = false
	for range 2 {
		if err := s.Lend(t.Context(), "user", ref); err != nil {
			t.Error(err)
		}
	}
	reads(nil)
	if l := c.vault.lists["secrets/private_key"]; c.vault.changes != 3 || l["project-access"] != false || !slices.Equal(l["users"].([]any), []any{"somebody", service}) {
		t.Errorf("after %d changes the key may be read by %v", c.vault.changes, l)
	}
}

// TestAServiceThatComesLaterIsFound looks once more for what was in no catalogue, and
// only once for what was.
func TestAServiceThatComesLaterIsFound(t *testing.T) {
	c, o := newCloud(t)
	c.secrets, c.hidden = map[string]string{"x": "y"}, "key-manager"
	s, ref := openstack.NewSecrets(o), "https://barbican.example/v1/secrets/x"
	if _, err := s.Secret(t.Context(), ref); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("without Barbican: %v", err)
	}
	c.hidden = ""
	for range 3 {
		if data, err := s.Secret(t.Context(), ref); err != nil || string(data) != "y" {
			t.Errorf("%q, %v", data, err)
		}
	}
	if c.discoveries != 1 {
		t.Errorf("it was asked for its versions %d times", c.discoveries)
	}
}
