package watch

import (
	"slices"
	"strings"
	"time"
)

// Reason is what Masakari notes at a compute that it takes no further servers. It
// tells these from those that a person has disabled, which are left alone.
const Reason = "updraft: it has died, and its servers were started elsewhere"

// earlier joins [Reason] and the one of a person who had disabled the compute before it
// died: Masakari forgets that.
const earlier = "; before that: "

// Died reports whether that is why a compute takes no servers, and a person's reason
// from before, if there is one.
func Died(reason string) (person string, yes bool) {
	if reason == Reason {
		return "", true
	}
	return strings.CutPrefix(reason, Reason+earlier)
}

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
	// Note puts a person's reason back beside Masakari's.
	Note
	// Restore lets it have servers again, and Masakari take notice.
	Restore
)

// death is what is known of a compute that is taken for dead.
type death struct {
	since    time.Time
	patience time.Duration
	person   string // the reason of one who had disabled it before
	vacated  bool
}

// sure reports whether the compute has been dead for long enough.
func (d *death) sure(now time.Time) bool { return now.Sub(d.since) >= d.patience }

// decide says what to do about a compute; d is of one that is dead. taker says that
// another could have its servers.
func decide(c Compute, d *death, now time.Time, taker bool) Step {
	_, told := Died(c.Disabled)
	switch {
	case c.Up && told:
		return Restore
	case !c.dead():
	case c.Disabled == Reason && d.person != "":
		return Note
	case !c.Maintenance && taker && d.sure(now):
		return Notify
	}
	return Nothing
}

func (c Compute) dead() bool { return !c.Up && !c.Alive }

// taker reports whether one of the computes could have further servers.
func taker(all []Compute) bool {
	return slices.ContainsFunc(all, func(c Compute) bool { return c.Up && c.Disabled == "" })
}
