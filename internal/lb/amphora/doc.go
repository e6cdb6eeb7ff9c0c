// Package amphora holds what a controller and the agent on an amphora say to
// each other, and everything about it that needs no I/O.
//
// A controller sends a Config: complete, so that no earlier one need be known,
// and with a version, so that none that is older takes effect. The agent asks
// Diff how to get from what it runs to what it shall run: by commands of
// HAProxy's runtime API, which no connection notices, or by a reload. What
// depends on health that only the agent knows (rules of nftables for UDP and
// SCTP) is rendered by the agent with Ruleset, everything else by the controller
// (package render).
//
// Nothing here trusts its input: a Config is checked before it is used, names
// are of a narrow alphabet, and text that people wrote reaches a file of HAProxy
// only through Quote.
package amphora
