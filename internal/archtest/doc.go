// Package archtest holds the repository's own rules as tests: which package may
// import which and why, that every package says what it guarantees, that
// functions and files stay small, and that nothing is committed that belongs to
// one machine only.
package archtest
