package api

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// newPolicy is the policy that a body describes. pool is the pool to redirect
// to, which in a tree has a name only.
func newPolicy(in *policyInput, pool string) (*model.L7Policy, *fault) {
	p := &model.L7Policy{Position: in.position.or(model.MaxPosition)}
	p.AdminStateUp = true
	if pool != "" {
		in.poolID.set(pool)
	}
	return p, changePolicy(p, in)
}

// changePolicy applies what was sent. A target decides the action and removes
// the other targets; an action that needs a target wants it in the same request.
func changePolicy(p *model.L7Policy, in *policyInput) *fault {
	target := map[string]opt[string]{
		model.ActionRedirectToPool: in.poolID, model.ActionRedirectToURL: in.url, model.ActionRedirectPrefix: in.prefix,
	}
	if in.action.null {
		return badRequest("Invalid L7 Policy action specified: None")
	}
	if in.action.has() && in.action.v != model.ActionReject && target[in.action.v].or("") == "" {
		return badRequest("Invalid L7 Policy arguments: %s must not be None", targetNames[in.action.v])
	}
	pool, link, prefix := in.poolID.or(""), in.url.or(""), in.prefix.or("")
	switch in.action.v { // what an action does not use is dropped
	case model.ActionReject:
		pool, link = "", ""
	case model.ActionRedirectToURL:
		pool = ""
	case model.ActionRedirectToPool:
		link = ""
	}
	if pool != "" && (link != "" || prefix != "") {
		return badRequest("Invalid L7 Policy arguments: Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time")
	}
	in.common.apply(&p.Base)
	in.position.apply(&p.Position, p.Position)
	switch {
	case pool != "":
		redirect(p, model.ActionRedirectToPool, pool)
	case prefix != "":
		redirect(p, model.ActionRedirectPrefix, prefix)
	case link != "":
		redirect(p, model.ActionRedirectToURL, link)
	case in.action.v == model.ActionReject:
		redirect(p, model.ActionReject, "")
	}
	return checkTarget(p, in)
}

var targetNames = map[string]string{
	model.ActionRedirectToPool: "redirect_pool_id or redirect_pool",
	model.ActionRedirectToURL:  "redirect_url",
	model.ActionRedirectPrefix: "redirect_prefix",
}

// redirect sets an action and its target, and clears the others.
func redirect(p *model.L7Policy, action, target string) {
	p.Action = action
	p.RedirectPoolID, p.RedirectURL, p.RedirectPrefix = "", "", ""
	switch action {
	case model.ActionRedirectToPool:
		p.RedirectPoolID = target
	case model.ActionRedirectToURL:
		p.RedirectURL = target
	case model.ActionRedirectPrefix:
		p.RedirectPrefix = target
	}
}

// checkTarget keeps the code of a redirection where there is one, and wants a
// target to be left.
func checkTarget(p *model.L7Policy, in *policyInput) *fault {
	if in.code.has() {
		p.RedirectHTTPCode = in.code.v
	}
	redirects := p.RedirectURL != "" || p.RedirectPrefix != ""
	switch {
	case !redirects:
		p.RedirectHTTPCode = 0
	case p.RedirectHTTPCode == 0 || in.code.null:
		p.RedirectHTTPCode = model.RedirectCodeLegacy
	}
	cleared := in.poolID.null && p.Action == model.ActionRedirectToPool ||
		in.url.null && p.Action == model.ActionRedirectToURL || in.prefix.null && p.Action == model.ActionRedirectPrefix
	if cleared && !in.poolID.has() && !in.url.has() && !in.prefix.has() && in.action.v != model.ActionReject {
		return badRequest("Invalid L7 Policy arguments: %s must not be None", targetNames[p.Action])
	}
	return nil
}

func newRule(in *ruleInput) *model.L7Rule {
	r := &model.L7Rule{}
	r.AdminStateUp = true
	changeRule(r, in)
	return r
}

func changeRule(r *model.L7Rule, in *ruleInput) {
	in.common.apply(&r.Base)
	in.kind.apply(&r.Type, r.Type)
	in.compare.apply(&r.CompareType, r.CompareType)
	in.key.apply(&r.Key, "")
	in.value.apply(&r.Value, "")
	in.invert.apply(&r.Invert, false)
}

// Characters of keys and values (RFC 7230 and 6265, as Octavia has them).
var (
	headerName    = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+\\-.^_`|~]+$")
	cookieValue   = regexp.MustCompile("^[a-zA-Z0-9!#$%&'()*+\\-./:<=>?@\\[\\]^_`{|}~]+$")
	headerValue   = regexp.MustCompile("^[a-zA-Z0-9!\"#$%&'()*+,\\-./:;<=>?@\\[\\]^_`{|}~\\\\]+$")
	quotedValue   = regexp.MustCompile("^\"[a-zA-Z0-9 \\t!\"#$%&'()*+,\\-./:;<=>?@\\[\\]^_`{|}~\\\\]*\"$")
	distinguished = regexp.MustCompile(`^[a-zA-Z][A-Za-z0-9-]*$`)
)

// checkRule wants a rule's key, value and comparison to fit its type.
func checkRule(r *model.L7Rule) *fault {
	var reason string
	switch r.Type {
	case model.RuleHeader, model.RuleCookie:
		reason = keyedRule(r)
	case model.RuleHostName, model.RulePath:
		reason = valueRule(r, headerOrQuoted, "comparison value")
	case model.RuleFileType:
		if r.CompareType != model.CompareRegex && r.CompareType != model.CompareEqualTo {
			reason = "Invalid L7 Rule: invalid comparison type for rule type"
		} else {
			reason = valueRule(r, headerOrQuoted, "comparison value")
		}
	default:
		reason = tlsRule(r)
	}
	if r.Value == "" {
		reason = "Invalid L7 Rule: L7 rule type requires a value"
	}
	if reason != "" {
		return badRequest("Error parsing L7Rule: %s", reason)
	}
	return nil
}

func headerOrQuoted(s string) bool { return headerValue.MatchString(s) || quotedValue.MatchString(s) }

func keyedRule(r *model.L7Rule) string {
	switch {
	case r.Key == "":
		return "Invalid L7 Rule: L7 rule type requires a key"
	case !headerName.MatchString(r.Key):
		return "Invalid characters in key"
	case r.Type == model.RuleCookie:
		return valueRule(r, cookieValue.MatchString, "cookie value")
	}
	return valueRule(r, headerOrQuoted, "header value")
}

// valueRule checks a value by its characters, or as an expression.
func valueRule(r *model.L7Rule, valid func(string) bool, what string) string {
	if r.CompareType == model.CompareRegex {
		return checkRegexp(r.Value)
	}
	if !valid(r.Value) {
		return "Invalid characters in " + what
	}
	return ""
}

// checkRegexp compiles an expression. HAProxy reads PCRE: what only RE2 does not
// know (looking around, back references) is let through.
func checkRegexp(expr string) string {
	_, err := regexp.Compile(expr)
	if err == nil || strings.Contains(expr, "(?") || backReference.MatchString(expr) {
		return ""
	}
	return "Unable to parse regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

var backReference = regexp.MustCompile(`\\[1-9]`)

func tlsRule(r *model.L7Rule) string {
	number, err := strconv.Atoi(r.Value)
	switch {
	case r.Type == model.RuleSSLDNField:
		switch {
		case r.Key == "" || r.Value == "":
			return "Invalid L7 Rule: L7rule type SSL_DN_FIELD needs to specify a key and a value."
		case !distinguished.MatchString(r.Key):
			return "Invalid L7 Rule: Invalid L7rule distinguished name field."
		case r.CompareType == model.CompareRegex:
			return checkRegexp(r.Value)
		}
		return ""
	case r.Key != "":
		return "Invalid L7 Rule: L7rule type " + r.Type + ` does not use the "key" field.`
	case r.Type == model.RuleSSLHasCert && !strings.EqualFold(r.Value, "true"):
		return "Invalid L7 Rule: L7rule value " + r.Value + " is not a boolean True string."
	case r.Type == model.RuleSSLVerify && (err != nil || number < 0):
		return "Invalid L7 Rule: L7rule type " + r.Type + " needs a int value, which is >= 0"
	case r.CompareType != model.CompareEqualTo:
		return "Invalid L7 Rule: L7rule type " + r.Type + " only supports the EQUAL_TO compare type."
	}
	return ""
}
