package engine

import "time"

// EventType is what an event tells.
type EventType string

// The event types.
const (
	EvObserving EventType = "observing" // a scope is being observed
	EvObserved  EventType = "observed"  // a scope was observed; Err if it could not be
	EvStart     EventType = "start"     // a step has started
	EvLine      EventType = "line"      // a step said something
	EvRetry     EventType = "retry"     // a step failed and will be tried again after Pause
	EvDone      EventType = "done"      // a step is done; Changed tells whether it did anything
	EvFail      EventType = "fail"      // a step failed for good
	EvBlocked   EventType = "blocked"   // a step cannot start because of Cause
	EvEnd       EventType = "end"       // the run is over
)

// KindHost is the kind of events about a host that is looked at because that was
// not possible while planning. It is no step of the plan.
const KindHost = "host"

// Event is one thing that happened in a run. The same events feed the text,
// JSON and live printers and the timeline. They hold no secrets.
type Event struct {
	Time    time.Time     `json:"time"`
	Type    EventType     `json:"type"`
	ID      string        `json:"id,omitempty"`
	Kind    string        `json:"kind,omitempty"`
	Scope   string        `json:"scope,omitempty"`
	Phase   Phase         `json:"phase,omitempty"`
	Action  Action        `json:"action,omitempty"`
	Changed bool          `json:"changed,omitempty"`
	Took    time.Duration `json:"took,omitempty"`
	Pause   time.Duration `json:"pause,omitempty"`
	Try     int           `json:"try,omitempty"`
	Line    string        `json:"line,omitempty"`
	Err     string        `json:"error,omitempty"`
	// Cause is, for EvBlocked, the ID of the failed step at the root.
	Cause string `json:"cause,omitempty"`
	// Needs are, for EvStart, the steps of this run that were waited for.
	Needs []string `json:"needs,omitempty"`
	// Steps is, for the first event of a run, how many steps are known.
	Steps int `json:"steps,omitempty"`
}

// Sink takes events. It is called from one goroutine at a time and must not
// block for long.
type Sink func(Event)
