package stack

import "github.com/updraft-cloud/updraft/internal/spec"

// MembersScope is the scope of the controllers' membership in clusters, and Members
// the reference of the node that what has a member starts after: members of
// controllers that are taken out have left by then (package member).
const (
	MembersScope = "members"
	Members      = MembersScope + "/members:all"
)

// Leaving says how a service's member on a controller that is taken out of the cloud
// takes leave of the others. All of it is shell text that may be run again, and that
// finds what is done already.
type Leaving struct {
	// Object, if set, is run on all controllers that answer, those that go included. It
	// changes nothing, and prints why those that are not in the file must not go.
	Object func(d *Deployment) string
	// Leave is run on the controller that goes, if that still answers, while all
	// members of all services run.
	Leave string
	// Forget is run on a controller that stays, and has the others do without the one
	// whose address it is given; nil where nothing is known of a member that left.
	Forget func(d *Deployment, stays *spec.Host, address string) string
	// End is run on the controller that goes thereafter, whether it was forgotten or not.
	End string
	// Clear is run on the controller that goes at last: what it takes away would
	// keep it, were it to come back, from joining anew.
	Clear string
}
