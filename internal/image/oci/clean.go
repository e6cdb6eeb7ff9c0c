package oci

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unwanted are removed from every root, as patterns of [filepath.Glob]: what
// packages make up while they are installed and would be the same secret or
// identity in every container; logs; caches; and what belongs to the building
// computer.
func unwanted() []string {
	return []string{
		"usr/sbin/policy-rc.d", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/" + dpkgConfig,
		"etc/apt/sources.list", "etc/apt/sources.list.d/*", "var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/ldconfig/*",
		"var/cache/debconf/*", "var/lib/dpkg/*-old", "var/lib/dpkg/lock*",
		"var/cache/fontconfig/*", "etc/*-", "etc/.pwd.lock", "etc/xml/*.old",
		"etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname", "etc/resolv.conf",
		"etc/ssh/ssh_host_*", "etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem",
		"etc/iscsi/initiatorname.iscsi", "etc/nvme/hostid", "etc/nvme/hostnqn", "var/lib/systemd/random-seed",
		"var/lib/rabbitmq/.erlang.cookie", "var/lib/openstack-dashboard/secret_key", "var/lib/openstack-dashboard/secret-key/*",
		"var/lib/mysql/*", "etc/mysql/debian.cnf", "etc/libvirt/qemu/networks/*", "var/lib/ucf/*.[0-9]*",
		"dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "var/tmp/*", "root/.cache",
	}
}

// emptied directories keep their tree and lose their files.
var emptied = []string{"var/log"}

// unordered are objects in JSON that a package writes in another order each time.
var unordered = []string{"var/lib/openstack-dashboard/static/dashboard/manifest.json"}

// orderJSON writes an object in the order of its keys.
func orderJSON(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(object); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644) // an existing file keeps its mode
}

// clean takes from a freshly bootstrapped root what must not be in an image, and
// makes it a function of its packages: everything younger than start, the
// beginning of the build, gets the time of the youngest thing that came in a
// package.
func clean(root string, start time.Time) error {
	for _, pattern := range unwanted() {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	for _, dir := range emptied {
		if err := removeFiles(filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	for _, name := range unordered {
		if err := orderJSON(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	if err := fixShadow(filepath.Join(root, "etc/shadow")); err != nil {
		return err
	}
	// podman mounts its own over it, for which it must be there.
	for _, name := range []string{"etc/resolv.conf", "etc/hostname", "etc/machine-id"} {
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask is
			return err
		}
	}
	return settle(root, start)
}

// removeFiles removes all files below dir. Directories stay: daemons write into those
// that their packages made.
func removeFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Remove(path)
	})
}

// fixShadow sets the day of the last change of every password.
func fixShadow(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, ":"); len(f) > 3 {
			f[2] = passwordChanged
			line = strings.Join(f, ":")
		}
		b.WriteString(line)
	}
	return os.WriteFile(path, []byte(b.String()), 0o640) // an existing file keeps its mode
}

// compiledSince reports whether the file is Python code that was compiled from a
// source younger than start. The source gets another time, which would make the
// compiled code stale: Python notes the source's time in it (PEP 552).
func compiledSince(path string, start time.Time) bool {
	if filepath.Ext(path) != ".pyc" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var header struct{ Magic, Flags, Time, Size uint32 }
	return binary.Read(f, binary.LittleEndian, &header) == nil && header.Flags == 0 && int64(header.Time) >= start.Unix()
}

// settle gives what is younger than start the time of the youngest older thing.
func settle(root string, start time.Time) error {
	var young []string
	var newest time.Time
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		switch {
		case err != nil:
			return err
		case !st.ModTime().Before(start):
			if compiledSince(path, start) {
				young = append(young, filepath.Dir(path)) // loses an entry now
				return os.Remove(path)
			}
			young = append(young, path)
		case st.ModTime().After(newest):
			newest = st.ModTime()
		}
		return nil
	})
	if err != nil {
		return err
	}
	ts := unix.NsecToTimespec(newest.Truncate(time.Second).UnixNano())
	for _, path := range young {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "utimensat", Path: path, Err: err}
		}
	}
	return nil
}
