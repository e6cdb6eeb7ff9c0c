// Package spec reads the cloud file.
//
// [Load] takes a file and gives back either a [Cloud] in which everything is
// filled in, expanded and checked, or every fault that could be found, each
// with its position and what to do about it. It reads nothing but the file and
// what that includes: no environment, no network, no clock. The same files and
// settings give the same Cloud on every computer.
//
// The way of a file: text → tree (yaml.go; positions, bounds on size, depth and
// aliases) → includes merged (include.go) → variables put in (vars.go) → file
// structs (file.go, by decode.go) → Cloud (expand.go and what it calls).
//
// The structs in file.go carry their documentation, defaults and limits in
// tags; package docgen makes the JSON Schema and the reference from them. The
// same decoder reads the parts whose shape other packages know: see [Raw.Decode].
package spec
