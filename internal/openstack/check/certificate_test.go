package check_test

import (
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/api/apitest"
	"github.com/updraft-cloud/updraft/internal/openstack/check"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
	"github.com/updraft-cloud/updraft/internal/verify"
)

func TestACertificateThatSoonEndsIsToldOf(t *testing.T) {
	for name, tc := range map[string]struct {
		age  int // days
		want string
	}{
		"one that was just issued":       {0, ""},
		"one that up would replace soon": {250, ""},
		"one that nobody has replaced":   {310, "run updraft up"},
	} {
		t.Run(name, func(t *testing.T) {
			issued := time.Now().AddDate(0, 0, -tc.age)
			ca, err := pki.NewAuthority("test", issued)
			if err != nil {
				t.Fatal(err)
			}
			site := httptest.NewUnstartedServer(pageHandler(nil))
			site.TLS = &tls.Config{Certificates: []tls.Certificate{issue(t, ca, issued)}, MinVersion: tls.VersionTLS12}
			site.StartTLS()
			t.Cleanup(site.Close)
			c := newCloud(t)
			o := openstackOf(t, check.Cloud{
				Access: api.Access{
					AuthURL: c.AuthURL(), CA: c.CA() + ca.Cert, Region: "RegionOne", Timeout: 5 * time.Second,
					Password: func() (string, error) { return apitest.Password, nil },
				},
				Dashboard: site.URL + "/", Consoles: site.URL + "/",
			})
			r := run(t.Context(), o, newPlace(t))
			if (tc.want == "") != (r.Status == verify.Passed) || !strings.Contains(r.Reason, tc.want) {
				t.Errorf("%s: %s", r.Status, r.Reason)
			}
		})
	}
}

func issue(t *testing.T, ca pki.Authority, now time.Time) tls.Certificate {
	t.Helper()
	cert, key, err := ca.Issue("test", []string{"127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func openstackOf(t *testing.T, cloud check.Cloud) *check.OpenStack {
	t.Helper()
	for _, k := range check.Kinds(cloud) {
		if o, ok := k.New().(*check.OpenStack); ok {
			return o
		}
	}
	t.Fatal("there is no kind openstack")
	return nil
}
