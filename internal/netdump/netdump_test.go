package netdump

import (
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
)

func TestAListThatWasInterruptedIsAskedForAgain(t *testing.T) {
	for _, tc := range []struct {
		name        string
		interrupted int
		end         error
		asked       int
	}{
		{"whole at once", 0, nil, 1},
		{"whole at last", 3, nil, 4},
		{"another error", 1, fs.ErrPermission, 2},
		{"never whole", dumps, nl.ErrDumpInterrupted, dumps},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := 0
			all, err := Whole(func() ([]int, error) {
				if asked++; asked <= tc.interrupted {
					return nil, fmt.Errorf("list: %w", nl.ErrDumpInterrupted)
				}
				return []int{1, 2}, tc.end
			})
			if (err == nil) != (tc.end == nil) || asked != tc.asked || err == nil && !slices.Equal(all, []int{1, 2}) {
				t.Errorf("%v, %v after %d", all, err, asked)
			}
		})
	}
}
