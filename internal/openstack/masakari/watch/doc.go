// Package watch notices computes that have died and tells Masakari, which has their
// servers run elsewhere; and it is what makes that safe.
//
// On controllers a [Watcher] looks at what Nova has heard of each compute and
// whether anything answers at its address. A compute is dead when both say nothing
// for a while: a nova-compute that merely ended leaves servers running, and these
// must not be started a second time. While no other compute could take servers, as when
// all are cut off, nobody is told: Nova would give them up. When the compute is back, what Masakari did to
// it (no further servers, maintenance) is undone. Several watchers may see the same:
// Masakari takes what it was told already for a duplicate.
//
// On computes a [Guard] ends all servers once less than half of the controllers have
// answered for [Lease]: others may start them elsewhere by then, and a server that
// runs twice ruins its disk. Nova says that a compute is down after a minute at the
// earliest, so the guard is always first. A guard that could not look for that long, as
// its host stood still, ends them as soon as it can, whoever answers by then.
package watch

import "time"

const (
	// Lease is for how long a compute that sees no majority of controllers may keep
	// its servers. It has to be shorter than Nova's service_down_time of 60 s less
	// the 10 s between two signs of life.
	Lease = 35 * time.Second
	// Late is after how long without a look it is too late to ask whether a compute may
	// keep its servers: Nova's minute less those 10 s.
	Late = 50 * time.Second
	// Patience is for how long a compute must have been seen dead; Boot, for how long one
	// that a watcher never saw alive: after a power cut of all, hosts take different times.
	Patience = 10 * time.Second
	Boot     = 5 * time.Minute
	// Look is between two looks at the APIs, Interval between two at the controllers,
	// and Answer how long one waits for an answer.
	Look     = 10 * time.Second
	Interval = 2 * time.Second
	Answer   = 2 * time.Second
	// Hush is how long a guard takes at most for what it does before it ends servers.
	Hush = 6 * time.Second
)
