// Package render makes the configuration of an amphora from the load balancer
// that the API describes: a pure function, whose result changes only when
// something changes for the amphora.
//
// It guarantees that no value of a user becomes anything else in HAProxy's
// configuration than one word of the line it belongs to: every word is quoted by
// the writer, formats are escaped, and a control character is an error. Values
// that the API would not let in are errors or left out, never passed on.
package render
