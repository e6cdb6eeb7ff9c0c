package handoff

import (
	"bytes"
	"encoding/json"
)

// factsVersion changes when a field of facts.json changes its meaning or goes.
const factsVersion = 1

// facts renders everything as JSON, for scripts.
func facts(in Input) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Version  int       `json:"version"`
		Cloud    string    `json:"cloud"`
		Domain   string    `json:"domain"`
		Hosts    []Host    `json:"hosts"`
		VIPs     []VIP     `json:"vips"`
		Networks []Network `json:"networks"`
	}{factsVersion, in.Cloud, in.Domain, orEmpty(in.Hosts), orEmpty(in.VIPs), orEmpty(in.Networks)})
	return b.Bytes(), err
}

// orEmpty makes nothing an empty list instead of null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
