// Package status is what a cloud looks like now: its hosts, the clusters that
// decide together, who holds the virtual addresses, services, certificates and
// room, and first of all what is wrong and what to do about it.
//
// It guarantees that looking changes nothing, that a host which does not answer
// takes nobody's time but its own and is said, and that the same findings give
// the same report. Looking is one shell script for each host ([Script]), which
// takes some tens of milliseconds there; the deployer brings it to hosts, and
// hands what they print to [Parse].
package status
