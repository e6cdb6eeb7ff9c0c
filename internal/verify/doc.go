// Package verify proves that what was built works: it runs declared checks from
// stated places and says what each found.
//
// It guarantees that
//   - every check ends: each try has a timeout, and repetition has a deadline;
//   - a result says what was looked at, from where, and why it did not pass;
//     "failed" means that the cloud is not as declared, "error" that the check
//     itself could not be carried out, and neither is ever taken for a pass;
//   - results come in the order of declaration, whatever finished first;
//   - an interrupted run still returns what it has, marked as interrupted.
//
// A check ([Check]) is a plain struct decoded from the cloud file ([Kinds]
// lists them). It looks at the world only through a [Vantage]: the deploy host
// ([Local]) or a host of the cloud ([FromHost]). A [Runner] runs many at once.
package verify
