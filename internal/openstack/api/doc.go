// Package api is what is in the cloud's own API: projects, users, endpoints,
// flavors, images, networks and the like, as resources of the graph.
//
// What it guarantees:
//
//   - Observing changes nothing and costs one token and one list per
//     collection, however many resources there are. Only what is managed is
//     compared: a field left empty is left alone. (Two things are asked one by
//     one, as the API has no list of them: whether a user's password is the
//     right one, and the quotas of a project.)
//   - Names are resolved through the lists. A name that two things carry is an
//     error that names both IDs, never a guess.
//   - Applying is idempotent and may be cut off at any point. An image comes
//     into being under its name only when its content is there and has the right
//     checksum.
//   - Removing takes back only what the engine's state knows as made by updraft.
//   - No password and no token is in any report or error.
//   - Every request has a timeout. Errors say what the API said and the ID of
//     the request, by which its log is searched, and are classified by package
//     retry; nothing is repeated here.
//
// An [Executor] executes a scope of package engine. [Kinds] lists what may be
// declared, [Nodes] makes nodes of it, [Bootstrap] lists what the services
// themselves need to be there.
package api
