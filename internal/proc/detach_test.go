package proc_test

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/proc"
)

// TestADetachedCommandHoldsNoFileOfItsStarter opens a pipe as a caller's that was
// inherited, which is without close-on-exec.
func TestADetachedCommandHoldsNoFileOfItsStarter(t *testing.T) {
	held := func(detach bool) bool {
		fds := make([]int, 2)
		if err := unix.Pipe2(fds, 0); err != nil {
			t.Fatal(err)
		}
		theirs := os.NewFile(uintptr(fds[1]), "inherited")
		mine := os.NewFile(uintptr(fds[0]), "waiting")
		defer mine.Close()
		cmd := exec.Command("ls", "-l", "/proc/self/fd")
		var out bytes.Buffer
		cmd.Stdout = &out
		if detach {
			if err := proc.Detach(cmd); err != nil {
				t.Fatal(err)
			}
		}
		name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fds[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		return strings.Contains(out.String(), name)
	}
	if !held(false) {
		t.Fatal("an ordinary command does not inherit the file: this test proves nothing")
	}
	if held(true) {
		t.Error("the detached command holds it, too")
	}
}
