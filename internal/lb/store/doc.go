// Package store keeps the load balancers, in etcd: a member inside the process
// by default, a cluster of others by its addresses.
//
// It guarantees:
//
//   - [Store.Update] is one transaction: all of it happens, or nothing. It saw
//     the latest state of what it read and changed, or it is run again. What it
//     acknowledged is on disk (of a majority of the members) and survives.
//   - An error that the function given to Update returns was decided on a state
//     no older than the call: a conflict (409) is never an old one.
//   - What is stored holds together (see [Store.Check]): children have their
//     parents, ports and names are unique where they must be, positions of L7
//     policies are dense from 1, quotas count what there is.
//   - [Store.View] returns at once, without etcd and without locks, a state that
//     never changes; whoever wrote sees what he wrote. When etcd is away, it goes
//     on to answer with what was last heard.
//   - Without a majority of members writes are refused soon, with an
//     [UnavailableError] that says when to come back; without space, with the same.
//   - Close returns within seconds, whoever is connected.
//
// # How
//
// A load balancer and what is below it are a [Tree]. Each change below rewrites
// the load balancer's own record too, so that its revision in etcd is the version
// of the whole tree, and one comparison with it guards the transaction.
//
// One goroutine runs the functions of all concurrent Updates one after the other
// on the index and what their predecessors changed, and sends the changes of the
// whole group as one etcd transaction: writers of one process never conflict with
// each other, and share an fsync. The group's parts that have nothing in common
// are transactions nested in it, so that a conflict with another process makes
// only its own part run again.
//
// The index consists of persistent B-trees of immutable values, fed by a watch.
package store
