package lab

import "slices"

// Mirrors returns the package repositories that this computer itself uses, for
// the hosts' package cache.
func Mirrors() []string {
	sources, err := readSources("/etc/apt")
	if err != nil {
		return nil // not a Debian; the cloud file names its mirrors then
	}
	var out []string
	for _, s := range sources {
		if uri := s.web(); uri != "" && !slices.Contains(out, uri) {
			out = append(out, uri)
		}
	}
	return out
}
