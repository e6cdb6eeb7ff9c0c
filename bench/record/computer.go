package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ThisComputer describes the computer without naming it.
func ThisComputer() Computer {
	c := Computer{Cores: runtime.NumCPU()}
	c.CPU = field("/proc/cpuinfo", "model name")
	if kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		c.Memory = kb << 10
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // unknown is said as such
	c.Kernel = strings.TrimSpace(string(release))
	c.System = strings.Trim(fieldSep("/etc/os-release", "PRETTY_NAME", "="), `"`)
	return c
}

func field(file, name string) string { return fieldSep(file, name, ":") }

// fieldSep returns the value of the first line "name SEP value".
func fieldSep(file, name, sep string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, sep); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// clockTick is USER_HZ, the unit of proc_stat(5), which is 100 on Linux.
const clockTick = 10 * time.Millisecond

// Used is the processor time that the computer has spent since it started, by
// all that runs on it.
func Used() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return used(data)
}

// used adds up the first line of proc_stat(5) but for idle, iowait, and guest
// time, which is in user time already.
func used(stat []byte) (time.Duration, error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 9 || string(f[0]) != "cpu" {
		return 0, fmt.Errorf("cannot read /proc/stat: it begins with %q", line)
	}
	var sum time.Duration
	for i, x := range f[1:9] {
		n, err := strconv.ParseInt(string(x), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cannot read /proc/stat: %w", err)
		}
		if i != 3 && i != 4 {
			sum += time.Duration(n) * clockTick
		}
	}
	return sum, nil
}

// Share returns the share of all cores that is in use during the given time.
func Share(ctx context.Context, during time.Duration) (float64, error) {
	before, err := Used()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(during):
	}
	after, err := Used()
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(time.Since(start)) / float64(runtime.NumCPU()), nil
}

// Quiet waits until no more than most of the computer is in use, at the longest
// for patience, and returns the share that is.
func Quiet(ctx context.Context, most float64, patience time.Duration) (float64, error) {
	deadline := time.Now().Add(patience)
	for {
		share, err := Share(ctx, time.Second)
		if err != nil || share <= most || time.Now().After(deadline) {
			return share, err
		}
	}
}

// Stopwatch measures wall and processor time.
type Stopwatch struct {
	start     time.Time
	used, own time.Duration
	groups    []string
}

// Start starts a stopwatch. What is measured are this process, the children that
// it waits for, and all that runs in the given control groups, which are
// directories with a cpu.stat of version 2 and may come to be later on.
func Start(groups ...string) (Stopwatch, error) {
	w := Stopwatch{start: time.Now(), groups: groups}
	var err error
	if w.used, err = Used(); err == nil {
		w.own, err = own(groups)
	}
	return w, err
}

// Stop returns the seconds that have passed, the processor time in seconds spent
// on what is measured, and the share of the computer that all others had.
func (w Stopwatch) Stop() (wall, cpu, others float64, err error) {
	passed := time.Since(w.start)
	used, err := Used()
	if err != nil {
		return 0, 0, 0, err
	}
	mine, err := own(w.groups)
	if mine -= w.own; mine < 0 { // a group went, and what it had used with it
		return passed.Seconds(), 0, 0, err
	}
	// The kernel counts for the whole computer in ticks of 10 ms.
	rest := max(0, used-w.used-mine-clockTick*time.Duration(runtime.NumCPU()))
	return passed.Seconds(), mine.Seconds(), rest.Seconds() / passed.Seconds() / float64(runtime.NumCPU()), err
}

// own is the processor time of this process, its children, and control groups.
func own(groups []string) (time.Duration, error) {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, os.NewSyscallError("getrusage", err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, dir := range groups {
		data, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		var usec int64
		if _, err := fmt.Sscanf(string(data), "usage_usec %d", &usec); err != nil {
			return 0, fmt.Errorf("cannot read %s/cpu.stat: %w", dir, err)
		}
		sum += time.Duration(usec) * time.Microsecond
	}
	return sum, nil
}
