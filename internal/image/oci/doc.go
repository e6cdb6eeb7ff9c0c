// Package oci builds the container images that services run in, from the
// distribution's packages and without any daemon.
//
// It guarantees:
//
//   - The name of an image says what is in it: the tag of [Recipe.Ref] is a
//     digest of everything that the recipe asks for and of the way of building,
//     and is known without building.
//   - An image is there whole or not at all. A build that was killed leaves
//     nothing that is taken for an image, and the next one clears it away. Any
//     number of processes may build on one computer; each image is built once.
//   - The same versions of the packages give the same bytes: what packages make
//     up by themselves while they are installed (keys, identifiers, logs, times)
//     is removed or set.
//   - Users have the same numbers in all images ([UID]), whatever the packages
//     would have chosen; a build in which a package made another is refused.
//   - Nothing of the computer that builds gets into an image: no mirror, no
//     proxy, no resolver, no name.
//
// # How
//
// mmdebstrap(1) installs the packages straight into the directory in which the
// store of podman wants the image's one layer, so that a computer that shares
// its store with its hosts (the lab) copies nothing at all. The tar of the layer
// is a function of that directory: it is written when a digest or an image in
// OCI layout is wanted.
package oci
