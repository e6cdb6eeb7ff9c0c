// Package check proves that an OpenStack works: checks for package verify that
// speak to the cloud's API.
//
//   - openstack asks every service something small and judges the answers, each
//     with its own time, hypervisors and agents included, whether the pages for
//     people are whole, and how long the certificate that is shown goes on.
//   - vm starts a server and reaches it: ACTIVE, DHCP, metadata and a marker on
//     the console, ping, TCP and HTTP by its floating IP.
//
// Both look from the check's vantage point, with the API as well as with the
// server. What vm makes it removes again: after a failure and an interruption
// too, and what a killed run left is removed by the next before it begins.
package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// Cloud is where what is checked can be found.
type Cloud struct {
	// Access says where the API is and who asks; its Dial is not used, as the
	// vantage point dials.
	Access api.Access
	// Dashboard and Consoles are the URLs of Horizon and of the proxy to servers'
	// screens, ending in a slash.
	Dashboard, Consoles string
}

// Kinds returns the kinds of checks.
func Kinds(c Cloud) []verify.Kind {
	return []verify.Kind{openstackKind(c), vmKind(c.Access)}
}

// connect gets a token from the vantage point.
func connect(ctx context.Context, a api.Access, v verify.Vantage) (*api.Client, error) {
	if a.Password == nil {
		return nil, errors.New("the check was not given access to the API")
	}
	a.Dial = v.Dial
	return api.Connect(ctx, a)
}

func failf(format string, args ...any) error {
	return &verify.Failure{Reason: fmt.Sprintf(format, args...)}
}

// asFailure turns an error of the API into a failure, unless it says that
// nothing could be found out.
func asFailure(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, verify.ErrVantage) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var f *verify.Failure
	if errors.As(err, &f) {
		return err
	}
	return &verify.Failure{Reason: err.Error()}
}
