// Package keyring is Keystone's key repositories as a function of time: which keys a
// controller has at a moment, and how they get into its directories.
//
// Every key follows from a master key, which all controllers have alike, and from the
// number of a period of time (HKDF, RFC 5869). So a rotation needs nobody who is
// elected, nothing that is sent, and no order: each controller looks at its clock.
// One that was off for a month is right before its Keystone starts.
//
// It guarantees that whatever one controller made, another can read:
//
//   - the key of the next period is there a whole period before it is used, so clocks
//     may differ by as much;
//   - keys of the past stay for as long as what they made is valid, and [Grace] more;
//   - the same holds for the master keys: the next one's keys are there before it is
//     used, and the last one's afterwards.
//
// Keystone lists the directory and then opens one file after the other, whenever it
// needs keys. So a rotation removes no file and moves no key: a new key takes the place
// of one that is forgotten, by a rename, and the primary one is changed last. Whoever
// reads meanwhile has every key that counts both before and after.
package keyring
