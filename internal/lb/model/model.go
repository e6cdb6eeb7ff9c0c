// Package model holds what the load-balancing service stores: plain structures
// with the names, enumerations and limits of the Octavia API v2.
//
// It does no input or output. A value that came out of the store is shared by
// everyone who reads it and must not be changed: take a copy of the structure,
// and new slices and maps for what is to differ ([LoadBalancer.Clone] and its
// like copy deeply).
//
// An empty string stands for null in the fields of strings and addresses; where
// zero means something, a pointer is nil for null.
package model

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// NilID answers 404 always: upstream uses it for references to what was deleted.
const NilID = "00000000-0000-0000-0000-000000000000"

// NewID returns a random UUID (RFC 9562, version 4) in text form.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var out [36]byte
	for i, at := range [...]struct{ from, to, pos int }{{0, 4, 0}, {4, 6, 9}, {6, 8, 14}, {8, 10, 19}, {10, 16, 24}} {
		hex.Encode(out[at.pos:], b[at.from:at.to])
		if i > 0 {
			out[at.pos-1] = '-'
		}
	}
	return string(out[:])
}

// Now returns the time as it is stored: UTC, to the microsecond.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Kind is a kind of object.
type Kind uint8

// The kinds. Those from KindListener to KindAmphora live below a load balancer.
const (
	KindNone Kind = iota
	KindLoadBalancer
	KindListener
	KindPool
	KindMember
	KindHealthMonitor
	KindL7Policy
	KindL7Rule
	KindAmphora
	KindFlavor
	KindFlavorProfile
	KindAvailabilityZone
	KindAvailabilityZoneProfile
	KindQuota
	KindStats
	KindRecord
	KindClaim
	kindEnd
)

var kindNames = [kindEnd]string{"none", "loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule",
	"amphora", "flavor", "flavorprofile", "availability_zone", "availability_zone_profile", "quota", "stats", "record", "claim"}

// kindTitles are the names in fault strings (contract §2).
var kindTitles = [kindEnd]string{"", "Load Balancer", "Listener", "Pool", "Member", "Health Monitor", "L7Policy", "L7Rule",
	"Amphora", "Flavor", "Flavor Profile", "Availability Zone", "Availability Zone Profile", "Quota", "Stats", "Record", "Claim"}

// String returns the kind's name in the API and in the store's keys.
func (k Kind) String() string { return kindNames[k] }

// Title returns the kind's name in fault strings.
func (k Kind) Title() string { return kindTitles[k] }

// IsChild reports whether objects of the kind live below a load balancer.
func (k Kind) IsChild() bool { return k >= KindListener && k <= KindAmphora }

// KindOf returns the kind of a name, KindNone when there is no such kind.
func KindOf(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return KindNone
}

// Ref names an object.
type Ref struct {
	Kind Kind
	ID   string
}

// String returns "kind id".
func (r Ref) String() string { return r.Kind.String() + " " + r.ID }

// ProvisioningStatus says what is being done to an object (contract §5).
type ProvisioningStatus string

// The provisioning statuses.
const (
	PendingCreate ProvisioningStatus = "PENDING_CREATE"
	PendingUpdate ProvisioningStatus = "PENDING_UPDATE"
	PendingDelete ProvisioningStatus = "PENDING_DELETE"
	Active        ProvisioningStatus = "ACTIVE"
	Error         ProvisioningStatus = "ERROR"
	Deleted       ProvisioningStatus = "DELETED"
)

// Pending reports whether a controller has yet to do something.
func (s ProvisioningStatus) Pending() bool {
	return s == PendingCreate || s == PendingUpdate || s == PendingDelete
}

// OperatingStatus says how an object fares (contract §5).
type OperatingStatus string

// The operating statuses. OpDraining and OpNoMonitor are those of members only.
const (
	OpOnline    OperatingStatus = "ONLINE"
	OpOffline   OperatingStatus = "OFFLINE"
	OpDegraded  OperatingStatus = "DEGRADED"
	OpError     OperatingStatus = "ERROR"
	OpDraining  OperatingStatus = "DRAINING"
	OpNoMonitor OperatingStatus = "NO_MONITOR"
)

// Base is what all objects of tenants have in common. Members and monitors have
// no description, rules neither name nor description in the API.
type Base struct {
	ID                 string             `json:"id"`
	ProjectID          string             `json:"project_id,omitempty"`
	Name               string             `json:"name,omitempty"`
	Description        string             `json:"description,omitempty"`
	AdminStateUp       bool               `json:"admin_state_up,omitempty"`
	ProvisioningStatus ProvisioningStatus `json:"provisioning_status,omitempty"`
	OperatingStatus    OperatingStatus    `json:"operating_status,omitempty"`
	CreatedAt          time.Time          `json:"created_at,omitzero"`
	UpdatedAt          time.Time          `json:"updated_at,omitzero"` // zero is null
	Tags               []string           `json:"tags,omitempty"`      // sorted
}

// Object is what has a [Base].
type Object interface {
	Stored
	Common() *Base
}

// Common returns the common fields.
func (b *Base) Common() *Base { return b }
