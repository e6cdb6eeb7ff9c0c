// Package guard watches a controller's member of Galera: it tells HAProxy whether
// the member may be written to, and it begins the cluster anew after failures from
// which Galera does not return by itself.
//
// Galera wants all members of the last primary view back before it goes on, unless
// those who are there never lost touch with each other. So two of three that were
// separated for a moment while the third was off stay out of service, and so do two
// of three that come back after a full outage.
//
// Each controller's guard says in etcd how its member is, while that is in no
// primary component. When a majority of the members of the newest view that is known
// say that it was their own last one, and nobody says that there is a primary
// component, the most advanced of them begins the cluster, once for each view. What
// this rests on, and what stays the operator's, is in
// docs/adr/0017-galera-after-failures.md.
//
// It guarantees that no two members begin a cluster from the same view, and that a
// member begins none whose guard has no majority of etcd with it.
package guard
