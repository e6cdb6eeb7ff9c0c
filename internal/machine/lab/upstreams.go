package lab

import "github.com/updraft-cloud/updraft/internal/aptconf"

// Mirrors returns the package repositories that this computer itself uses, for
// the hosts' package cache.
func Mirrors() []string { return aptconf.Repositories() }
