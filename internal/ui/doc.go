// Package ui shows plans, runs and results to people and programs.
//
// The same events of the engine feed three printers: plain lines, JSON lines,
// and a live view for terminals. Nothing here decides anything, and nothing
// here is told a secret.
package ui
