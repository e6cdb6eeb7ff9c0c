package watch

import "time"

// Reason is what Masakari notes at a compute that it takes no further servers. It
// tells these from those that a person has disabled, which are left alone.
const Reason = "updraft: it has died, and its servers were started elsewhere"

// Compute is one as it is seen.
type Compute struct {
	Name string
	// Up says that Nova heard of it within the last minute.
	Up bool
	// Alive says that something answered at its address.
	Alive bool
	// Disabled is Nova's reason for starting no servers there; "" for none.
	Disabled string
	// Maintenance says that Masakari takes no notice of it.
	Maintenance bool
}

// Step is what is to be done about a compute.
type Step int

// The steps.
const (
	Nothing Step = iota
	// Notify tells Masakari that it has died.
	Notify
	// Restore lets it have servers again, and Masakari take notice.
	Restore
)

// decide says what to do about a compute that has been seen dead since then; the
// zero time when it was not.
func decide(c Compute, since, now time.Time) Step {
	switch {
	case c.Up && c.Disabled == Reason:
		return Restore
	case c.dead() && !c.Maintenance && now.Sub(since) >= Patience:
		return Notify
	}
	return Nothing
}

func (c Compute) dead() bool { return !c.Up && !c.Alive }
