package agent

import (
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// Columns of "show servers state" (management manual, version 1).
const (
	colBackend = 1
	colServer  = 3
	colAdmin   = 6
	colWeight  = 7 // as set
	colInitial = 8 // as configured
)

// serverState writes what the next process shall know of the health that this
// one has seen, so that a member that is down gets no request after a reload.
// The rest of it is as the configuration says: weights and administrative states
// that were set at run time are in it already, and HAProxy would prefer its own.
// Of those that it does not check itself the agent tells it.
func serverState(dump string, h *amphora.HAProxy) string {
	weights := map[string]int{}
	for _, b := range h.Backends {
		for _, s := range b.Servers {
			if !s.Disabled && slices.Contains(s.Options, "check") {
				weights[b.Name+"/"+s.Name] = s.Weight
			}
		}
	}
	out := strings.Builder{}
	for line := range strings.Lines(dump) {
		fields := strings.Fields(line)
		if len(fields) <= colInitial || fields[0] == "#" {
			out.WriteString(line)
			continue
		}
		weight, there := weights[fields[colBackend]+"/"+fields[colServer]]
		if !there || fields[colAdmin] != "0" {
			continue
		}
		fields[colWeight], fields[colInitial] = strconv.Itoa(weight), strconv.Itoa(weight)
		out.WriteString(strings.Join(fields, " ") + "\n")
	}
	return out.String()
}
