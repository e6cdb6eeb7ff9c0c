// Package auth says who asks and whether they may.
//
// An [Authenticator] turns a request into an [Identity]: [NoAuth] takes everybody
// for an administrator, [Keystone] has a token validated and keeps the answer for
// a bounded time, so that a revoked token stops working within that time and a
// request costs no call to Keystone in between.
//
// A [Policy] holds rules in the language of oslo.policy, by the names that
// Octavia gives them, so that the policy files of a deployment keep working. The
// defaults are those of Keystone's roles reader, member and admin;
// [AdvancedRoles] and [AdminOrOwner] are the two other sets that Octavia ships.
package auth
