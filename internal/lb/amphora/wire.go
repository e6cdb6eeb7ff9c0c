package amphora

import "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"

// Paths of an agent's API. All need a certificate whose common name is
// ControllerName.
const (
	PathConfig   = "/v1/config"   // PUT Config → Applied; DELETE: stop everything
	PathIdentity = "/v1/identity" // PUT Identity → 204
	PathStatus   = "/v1/status"   // GET → Status
)

// How a configuration has taken effect.
const (
	ByNothing = "nothing" // it was there already
	ByRuntime = "runtime" // no process was replaced
	ByReload  = "reload"
	ByStart   = "start"
	ByStop    = "stop"
)

// Applied answers a configuration that has taken effect.
type Applied struct {
	Version uint64 `json:"version"`
	Digest  string `json:"digest"`
	By      string `json:"by"`
	// Why says what kept it from being done at run time.
	Why string `json:"why,omitempty"`
	// Boot and Seq number the beat that was sent last, as in beat.Beat.
	Boot uint64 `json:"boot"`
	Seq  uint64 `json:"seq"`
	// TookMS is the time in milliseconds until it was in effect.
	TookMS float64 `json:"took_ms"`
}

// Identity is an agent's certificate, key and whom it trusts, PEM.
type Identity struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	Authority   string `json:"authority"`
}

// Status is what an agent says of itself.
type Status struct {
	beat.Beat
	HAProxy string `json:"haproxy"` // its version
	// NotAfter is when the agent's certificate ends, RFC 3339.
	NotAfter string `json:"not_after"`
}

// Fault answers what could not be done.
type Fault struct {
	Error string `json:"error"`
	// Output is what HAProxy said of a configuration that it refuses.
	Output string `json:"output,omitempty"`
}
