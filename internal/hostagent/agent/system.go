package agent

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
)

// namePrefix precedes the digest in the agent's file name.
const namePrefix = "updraft-host-"

// Hello describes the host that this process runs on.
func Hello() proto.Hello {
	h := proto.Hello{Arch: runtime.GOARCH, BootID: bootID(), UID: os.Geteuid(), Time: time.Now().UnixNano()}
	h.Build, _ = strings.CutPrefix(filepath.Base(os.Args[0]), namePrefix)
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		data, _ = os.ReadFile("/usr/lib/os-release") // os-release(5) names both
	}
	values := osRelease(data)
	h.OS, h.OSVersion = values["ID"], values["VERSION_ID"]
	return h
}

// osRelease reads assignments as os-release(5) describes them.
func osRelease(data []byte) map[string]string {
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if ok && !strings.HasPrefix(name, "#") {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	return values
}

// bootID differs after each boot. The kernel's (random(4)) is joined by the
// start of process 1, since a container that shares its host's boot_id boots, too.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	stat, _ := os.ReadFile("/proc/1/stat")
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	start := ""
	if len(fields) > startTime {
		start = "." + fields[startTime]
	}
	return strings.TrimSpace(string(id)) + start
}

// startTime is the place of starttime after the command in /proc/PID/stat (proc(5)).
const startTime = 22 - 3

// Facts returns what else is known of this host.
func Facts() proto.Facts {
	f := proto.Facts{Hello: Hello(), CPUs: runtime.NumCPU()}
	f.Hostname, _ = os.Hostname()
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		f.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	f.Memory = memory()
	return f
}

// memory reads the size of the memory from /proc/meminfo, which lxcfs makes
// tell a container's limit.
func memory() uint64 {
	data, _ := os.ReadFile("/proc/meminfo")
	_, rest, _ := strings.Cut(string(data), "MemTotal:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseUint(fields[0], 10, 64)
	return kib << 10
}
