package check

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
)

// lasts is how long a certificate that is shown must go on, with all that vouches
// for it. updraft replaces those in the last third of a year: one that has half of
// that left was not replaced, or was not read by who shows it.
const lasts = 60 * 24 * time.Hour

// certificate looks at the certificate that is shown at a URL, and returns how
// many days it goes on.
func (p *pages) certificate(at string) func(context.Context, *api.Client) (int, error) {
	return func(ctx context.Context, _ *api.Client) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, at, nil)
		if err != nil {
			return 0, err
		}
		resp, err := p.client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.TLS == nil {
			return 0, failf("%s does not speak TLS", at)
		}
		end := ends(resp.TLS)
		left := time.Until(end)
		if left < lasts {
			return 0, failf("a certificate at %s ends on %s: run updraft up", at, end.Format(time.DateOnly))
		}
		return int(left.Hours() / 24), nil
	}
}

// ends is when the first of a verified chain does.
func ends(state *tls.ConnectionState) time.Time {
	var end time.Time
	for _, chain := range state.VerifiedChains {
		for _, c := range chain {
			if end.IsZero() || c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
	}
	return end
}
