// Package netdump lists what the kernel has of networks, whatever changes meanwhile.
package netdump

import (
	"errors"

	"github.com/vishvananda/netlink/nl"
)

// dumps is how often a list is asked for anew. One takes microseconds, and what it is
// interrupted by takes more.
const dumps = 100

// Whole asks the kernel for a list of links, addresses, routes or neighbours until one
// came whole: something else that changes meanwhile interrupts it (NLM_F_DUMP_INTR,
// https://docs.kernel.org/userspace-api/netlink/intro.html#dump-consistency).
func Whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range dumps {
		if all, err = list(); !errors.Is(err, nl.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}
