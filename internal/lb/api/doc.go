// Package api serves the load-balancing API: Octavia v2, unchanged, so that the
// OpenStack clients, gophercloud, Terraform and Heat work as they are.
//
// It guarantees:
//
//   - Paths, status codes, defaults, limits and fault strings are Octavia's
//     (v2.30); where Octavia answers 500 to a mistake of the client, the answer
//     here is 400 or 404, and links to further pages keep the filters.
//   - A request that changes something is one transaction of the store: all of it
//     happens, or nothing, and its answer shows what was written.
//   - Reading asks no other process: objects come from the store's index, and
//     tokens from the authenticator's cache.
//   - No answer leaves that the policy was not asked about: a handler that forgot
//     gets 403 instead of its answer.
//
// # How
//
// [Server.routes] is the table of all routes, with the access level and the body
// of each; routing, authorisation, the OpenAPI document and metrics follow it.
// What a body may have stands in input_*.go as lists of fields, what an answer
// has in view_*.go as tables of attributes, which are its filters and sort keys
// too. check_*.go holds what a request may not ask for; these are pure functions.
package api
