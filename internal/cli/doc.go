// Package cli is the command line of updraft: one file per command.
//
// stdout is for results, stderr for progress. Everything that the commands need
// is put together in one place, session.go; the commands only call it and show
// what comes back.
package cli
