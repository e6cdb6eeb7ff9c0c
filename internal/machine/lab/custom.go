package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maskedUnits either fail in a container, wait for what never comes, or cost
// boot time and do nothing for a lab host.
var maskedUnits = []string{
	"apt-daily-upgrade.timer", "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
	"console-getty.service", "container-getty@.service", "getty@.service", "getty-static.service", "serial-getty@.service",
	"dev-hugepages.mount", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "systemd-binfmt.service",
	"sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"kmod-static-nodes.service", "modprobe@.service", "systemd-modules-load.service",
	"sshd-keygen.service", // the provider makes the host key
	"sshd-unix-local.socket", "sshd-vsock.socket",
	"systemd-ask-password-console.path", "systemd-ask-password-wall.path",
	"systemd-creds.socket", "systemd-initctl.socket", "systemd-sysext.socket",
	"systemd-firstboot.service", "systemd-machine-id-commit.service", "systemd-random-seed.service", "systemd-remount-fs.service",
	"systemd-logind.service", // nobody sits at a lab host, and a session through it costs each connection
	"systemd-network-generator.service", "systemd-networkd-wait-online.service", "systemd-networkd-wait-online@.service",
	"systemd-pcrphase.service", "systemd-pcrphase-sysinit.service", "systemd-pcrmachine.service", "systemd-pstore.service",
	"systemd-tpm2-setup.service", "systemd-tpm2-setup-early.service", "systemd-udev-settle.service", "systemd-udev-trigger.service",
	"systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
	"systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service",
	"systemd-tmpfiles-setup-dev-early.service", "systemd-tmpfiles-setup-dev.service", // systemd-nspawn makes /dev
	"run-lock.mount", "systemd-hostnamed.socket",
}

// maskedGenerators are run by systemd at every boot and have nothing to find
// here. Those for fstab, sysv scripts and container units stay.
var maskedGenerators = []string{
	"systemd-cryptsetup-generator", "systemd-debug-generator", "systemd-factory-reset-generator", "systemd-getty-generator",
	"systemd-gpt-auto-generator", "systemd-hibernate-resume-generator", "systemd-import-generator", "systemd-integritysetup-generator", "systemd-rc-local-generator",
	"systemd-run-generator", "systemd-ssh-generator", "systemd-system-update-generator", "systemd-tpm2-generator", "systemd-veritysetup-generator",
}

// noBPF is a directory with a libbpf that cannot be loaded, put into the way of
// the machine's systemd only. It would otherwise load and verify its BPF programs
// at every boot, which takes a fifth of the processor time of a boot. All that is
// lost is SocketBind*=, RestrictNetworkInterfaces= and RestrictFileSystems= in units.
const noBPF = "/usr/lib/updraft/no-bpf"

// customFiles are written into every root. Modes are 0644.
var customFiles = map[string]string{
	"etc/ssh/sshd_config.d/00-updraft.conf": `# Lab host, see sshd_config(5). The first value of an option counts.
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
GSSAPIAuthentication no
X11Forwarding no
PrintMotd no
MaxStartups 500:30:1000
MaxSessions 500
LoginGraceTime 30
`,
	// The check of the configuration before each start costs as much as the start.
	"etc/systemd/system/ssh.service.d/updraft.conf": "[Service]\nExecStartPre=\nRestartSec=100ms\n",
	"etc/systemd/journald.conf.d/updraft.conf":      "[Journal]\nSystemMaxUse=64M\nSystemMaxFileSize=8M\nRuntimeMaxUse=16M\n",
	"etc/systemd/system.conf.d/updraft.conf":        "[Manager]\nDefaultTimeoutStopSec=20s\nDefaultDeviceTimeoutSec=1s\n",
	"etc/systemd/resolved.conf.d/updraft.conf":      "[Resolve]\nLLMNR=no\nMulticastDNS=no\n",
	"etc/apt/apt.conf.d/80updraft":                  "Acquire::Languages \"none\";\nAPT::Install-Recommends \"false\";\n",
	"etc/dpkg/dpkg.cfg.d/updraft":                   "force-unsafe-io\n",
	// See noBPF.
	strings.TrimPrefix(noBPF, "/") + "/libbpf.so.1": "not a library\n",
	"etc/resolv.conf":      "",
	"etc/fstab":            "",
	"etc/machine-id":       "",
	"etc/apt/sources.list": "",
	"etc/motd":             "",
}

// unwanted are removed from every root; patterns of filepath.Glob.
var unwanted = []string{
	"usr/sbin/policy-rc.d", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
	"etc/ssh/ssh_host_*", "etc/update-motd.d/*", "var/lib/dbus/machine-id", "var/log/*.log", "var/cache/apt/*.bin",
	"etc/hostname", "etc/apt/sources.list.d/*",
	// dbus is started by its socket when somebody wants it.
	"usr/lib/systemd/system/multi-user.target.wants/dbus.service",
}

// customDigest changes with everything that customise does by table.
func customDigest() string {
	h := sha256.New()
	fmt.Fprintln(h, maskedUnits, maskedGenerators, unwanted, customFiles)
	return hex.EncodeToString(h.Sum(nil))
}

// customise turns a bootstrapped root into that of a lab host.
func customise(root string) error {
	for _, pattern := range unwanted {
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
	for name, content := range customFiles {
		if err := writeFile(filepath.Join(root, name), content, 0o644); err != nil {
			return err
		}
	}
	// It would refuse logins of users other than root until boot has finished.
	if err := mask(filepath.Join(root, "etc/tmpfiles.d/systemd-nologin.conf")); err != nil {
		return err
	}
	for _, unit := range maskedUnits {
		if err := mask(filepath.Join(root, "etc/systemd/system", unit)); err != nil {
			return err
		}
	}
	for _, g := range maskedGenerators {
		if err := mask(filepath.Join(root, "etc/systemd/system-generators", g)); err != nil {
			return err
		}
	}
	return errors.Join(quietSSH(root), markUpdated(root))
}

func mask(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Symlink("/dev/null", path)
}

var sshdVersion = regexp.MustCompile(`(?m)^Package: openssh-server\n(?:.+\n)*?Version: 1:(\d+)\.(\d+)`)

// quietSSH switches off the penalties that sshd gives to addresses whose
// logins fail, where it knows them (OpenSSH 9.8): all of a lab comes from one.
func quietSSH(root string) error {
	b, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return err
	}
	v := sshdVersion.FindStringSubmatch(string(b))
	if v == nil {
		return errors.New("openssh-server is not in the root")
	}
	if len(v[1]) == 1 && v[1]+"."+v[2] < "9.8" {
		return nil
	}
	return writeFile(filepath.Join(root, "etc/ssh/sshd_config.d/01-updraft-penalties.conf"), "PerSourcePenalties no\n", 0o644)
}

// markUpdated makes the root younger than its /usr, so that units with
// ConditionNeedsUpdate (caches of ld.so, catalogue, users) do not run at boot.
func markUpdated(root string) error {
	st, err := os.Stat(filepath.Join(root, "usr"))
	if err != nil {
		return err
	}
	for _, dir := range []string{"etc", "var"} {
		path := filepath.Join(root, dir, ".updated")
		if err := writeFile(path, fmt.Sprintf("TIMESTAMP_NSEC=%d\n", st.ModTime().UnixNano()), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file anew, with its directories; a symlink in its place is
// replaced, not followed.
func writeFile(path, content string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}
