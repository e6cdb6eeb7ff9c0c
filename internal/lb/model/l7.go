package model

import "slices"

// Actions of an L7 policy.
const (
	ActionReject         = "REJECT"
	ActionRedirectToPool = "REDIRECT_TO_POOL"
	ActionRedirectToURL  = "REDIRECT_TO_URL"
	ActionRedirectPrefix = "REDIRECT_PREFIX"
)

// MaxRules is how many rules a policy has at most (contract §4.7).
const MaxRules = 50

// MaxPosition is the greatest position that may be sent.
const MaxPosition = 2147483647

// L7Policy decides about the requests that match all its rules.
type L7Policy struct {
	Base
	LoadBalancerID   string `json:"loadbalancer_id"`
	ListenerID       string `json:"listener_id"`
	Action           string `json:"action"`
	RedirectPoolID   string `json:"redirect_pool_id,omitempty"`
	RedirectURL      string `json:"redirect_url,omitempty"`
	RedirectPrefix   string `json:"redirect_prefix,omitempty"`
	RedirectHTTPCode int    `json:"redirect_http_code,omitempty"` // 0 is null
	// Position is dense from 1 in its listener; the store keeps it so.
	Position int `json:"position"`
}

// Kind returns KindL7Policy.
func (*L7Policy) Kind() Kind { return KindL7Policy }

// Clone copies deeply.
func (p *L7Policy) Clone() *L7Policy {
	c := *p
	c.Tags = slices.Clone(p.Tags)
	return &c
}

// Types of L7 rules.
const (
	RuleHostName       = "HOST_NAME"
	RulePath           = "PATH"
	RuleFileType       = "FILE_TYPE"
	RuleHeader         = "HEADER"
	RuleCookie         = "COOKIE"
	RuleSSLHasCert     = "SSL_CONN_HAS_CERT"
	RuleSSLVerify      = "SSL_VERIFY_RESULT"
	RuleSSLDNField     = "SSL_DN_FIELD"
	CompareRegex       = "REGEX"
	CompareStartsWith  = "STARTS_WITH"
	CompareEndsWith    = "ENDS_WITH"
	CompareContains    = "CONTAINS"
	CompareEqualTo     = "EQUAL_TO"
	RedirectCodeLegacy = 302 // when none is given
)

// L7Rule is one condition of a policy.
type L7Rule struct {
	Base
	LoadBalancerID string `json:"loadbalancer_id"`
	ListenerID     string `json:"listener_id"`
	L7PolicyID     string `json:"l7policy_id"`
	Type           string `json:"type"`
	CompareType    string `json:"compare_type"`
	Key            string `json:"key,omitempty"`
	Value          string `json:"value"`
	Invert         bool   `json:"invert,omitempty"`
}

// Kind returns KindL7Rule.
func (*L7Rule) Kind() Kind { return KindL7Rule }

// Clone copies deeply.
func (r *L7Rule) Clone() *L7Rule {
	c := *r
	c.Tags = slices.Clone(r.Tags)
	return &c
}
