package fakehost

import "github.com/updraft-cloud/updraft/internal/resource"

// baseDirs are the directories that a new host has, as Debian makes them.
var baseDirs = []string{
	"/dev", "/etc/cron.d", "/etc/modules-load.d", "/etc/network/interfaces.d", "/etc/skel", "/etc/sysctl.d",
	"/etc/systemd/network", "/etc/systemd/system", "/home", "/mnt", "/opt", "/run", "/srv", "/usr/bin",
	"/usr/lib/systemd/system", "/usr/local", "/usr/sbin", "/var/lib", "/var/log", "/var/tmp", "/proc", "/sys",
}

// layBase lays down the base system.
func layBase(f *FS) {
	for _, dir := range baseDirs {
		must(f.MkdirAll(dir))
	}
	must(f.Mkdir("/root", resource.Access{Mode: 0o700}))
	must(f.Mkdir("/tmp", resource.Access{Mode: 0o1777}))
	etc := func(name, text string) {
		must(f.WriteFile("/etc/"+name, []byte(text), resource.Access{Mode: 0o644}))
	}
	etc("os-release", "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n")
	etc("hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	etc("fstab", "# <file system> <mount point> <type> <options> <dump> <pass>\n")
	etc("hostname", "fake\n")
	f.SetKernel("/proc/uptime", "12.50 20.00\n")
	f.SetKernel("/proc/sys/kernel/random/boot_id", "00000000-0000-4000-8000-000000000001\n")
}
