// Package proto is what the deployer and the host agent say to each other:
// frames of JSON over the agent's standard input and output.
//
// A frame is its length, four bytes big-endian, and a JSON value. The agent
// speaks first, with a [Hello]. Then requests go one way and replies the other;
// requests run at the same time and are told apart by their number. A reply is
// any number of log lines and then one outcome.
package proto

import (
	"encoding/json"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Version is the version of the protocol. Both ends must have the same, which
// they do as a rule, since the agent is looked up by its digest.
const Version = 1

// The operations.
const (
	OpObserve  = "observe"  // ObserveRequest → ObserveReply
	OpApply    = "apply"    // ApplyRequest → nothing
	OpRemove   = "remove"   // RemoveRequest → nothing
	OpPing     = "ping"     // PingRequest → PingReply
	OpExchange = "exchange" // ExchangeRequest → ExchangeReply
	OpFacts    = "facts"    // nothing → Facts
	OpCancel   = "cancel"   // cancels the request of the same number; no reply
	OpAlive    = "alive"    // says that the deployer is there; no reply
)

// Hello is the agent's first frame.
type Hello struct {
	Protocol  int    `json:"protocol"`
	Build     string `json:"build,omitempty"`      // digest of the agent, from its name
	OS        string `json:"os"`                   // ID of os-release(5)
	OSVersion string `json:"os_version,omitempty"` // VERSION_ID of os-release(5)
	Arch      string `json:"arch"`                 // as Go names it
	BootID    string `json:"boot_id"`              // another one after each boot
	UID       int    `json:"uid"`
	// Time is the host's when the agent began, in nanoseconds since 1970 (UTC).
	Time int64 `json:"time"`
}

// Facts are what else is known of a host.
type Facts struct {
	Hello
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"`
	CPUs     int    `json:"cpus"`
	Memory   uint64 `json:"memory"` // bytes
}

// Request is a frame to the agent.
type Request struct {
	ID   uint64          `json:"id,omitempty"`
	Op   string          `json:"op"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Reply is a frame from the agent: a line of the log, or the outcome.
type Reply struct {
	ID   uint64          `json:"id"`
	Log  *string         `json:"log,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
	Err  *Error          `json:"err,omitempty"`
}

// Error is an outcome that is an error.
type Error struct {
	Msg   string `json:"msg"`
	Class uint8  `json:"class,omitempty"` // of package retry
}

// Item is one resource.
type Item struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// ObserveRequest asks to compare resources with the host.
type ObserveRequest struct {
	Items []Item `json:"items"`
}

// ObserveReply holds the reports of those that are not in sync or have notes,
// by their place in the request.
type ObserveReply struct {
	Reports map[int]drift.Report `json:"r,omitempty"`
}

// ApplyRequest asks to make the host agree with one resource.
type ApplyRequest struct {
	Item
	Found drift.Report   `json:"found"`
	Cause resource.Cause `json:"cause"`
}

// RemoveRequest asks to take one resource back.
type RemoveRequest struct {
	Item
	Made bool `json:"made,omitempty"`
}

// PingRequest asks for one ICMP echo (RFC 792, RFC 4443).
type PingRequest struct {
	Addr    string `json:"addr"`
	Timeout int64  `json:"timeout"` // nanoseconds
}

// PingReply tells the time until the answer came, in nanoseconds.
type PingReply struct {
	RTT int64 `json:"rtt"`
}

// ExchangeRequest asks to send one UDP datagram and wait for one in return.
type ExchangeRequest struct {
	Addr    string `json:"addr"` // address and port
	Data    []byte `json:"data"`
	Timeout int64  `json:"timeout"` // nanoseconds
}

// ExchangeReply is the datagram that came back.
type ExchangeReply struct {
	Data []byte `json:"data"`
	RTT  int64  `json:"rtt"` // nanoseconds
}
