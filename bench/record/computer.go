package record

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
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
	start time.Time
	used  time.Duration
}

// Start starts a stopwatch.
func Start() (Stopwatch, error) {
	used, err := Used()
	return Stopwatch{time.Now(), used}, err
}

// Stop returns the seconds that have passed, and those of all processors.
func (w Stopwatch) Stop() (wall, cpu float64, err error) {
	wall = time.Since(w.start).Seconds()
	used, err := Used()
	return wall, (used - w.used).Seconds(), err
}
