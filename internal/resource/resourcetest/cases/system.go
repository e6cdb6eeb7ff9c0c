package cases

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/authkey"
	"github.com/updraft-cloud/updraft/internal/resource/hostname"
	"github.com/updraft-cloud/updraft/internal/resource/hosts"
	"github.com/updraft-cloud/updraft/internal/resource/mount"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
)

// Two public keys whose private halves were thrown away.
const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaNbXGx1Uk7V4cW6vu/3sYqO0mPDW4yHfVHFgLLFVvD"
	keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKq0Zb5m1W8Yx1qzv0l8kWQk1cY9J3kq7n9pX2rT4uVw"
)

// asUser does a step with the number of a user.
func asUser(name string, do func(h resource.Host, uid int) error) step {
	return func(_ context.Context, h resource.Host) error {
		fi, err := h.Stat("/home/" + name)
		if err != nil {
			return err
		}
		return do(h, fi.UID)
	}
}

func keysFile(name, text string, mode uint32) step {
	return asUser(name, func(h resource.Host, uid int) error {
		own := resource.Access{Mode: mode, UID: uid, GID: uid}
		return h.WriteFile("/home/"+name+"/.ssh/authorized_keys", []byte(text), own)
	})
}

func sshDir(name string) step {
	return func(ctx context.Context, h resource.Host) error {
		fi, err := h.Stat("/home/" + name)
		if err != nil {
			return err
		}
		return mkdir("/home/"+name+"/.ssh", resource.Access{Mode: 0o700, UID: fi.UID, GID: fi.GID})(ctx, h)
	}
}

func authkeyCases() []resourcetest.Case {
	steps, run := resourcetest.Steps, resourcetest.RunCommand
	const file = "/home/updraftx/.ssh/authorized_keys"
	add := func(name, uid string) step {
		return run("useradd", "--uid", uid, "--user-group", "--create-home", name)
	}
	return []resourcetest.Case{
		{
			Name:     "a first key makes file and directory",
			Resource: &authkey.Resource{User: "updraftx", PublicKey: keyA + " me@example", Options: `from="10.0.0.0/8, 192.0.2.1",no-pty`},
			Given:    add("updraftx", "4731"),
			Drifts: []resourcetest.Drift{
				{Name: "file gone", Do: remove(file)},
				{Name: "key gone", Do: keysFile("updraftx", "# nothing\n", 0o600), Traces: true},
				{Name: "no options", Do: keysFile("updraftx", keyA+" me@example\n", 0o600), Attrs: []string{"options"}},
				{Name: "other comment", Do: keysFile("updraftx", `from="10.0.0.0/8, 192.0.2.1",no-pty `+keyA+" x\n", 0o600), Attrs: []string{"comment"}},
				{Name: "file of all to write", Do: chmod(file, 0o666), Attrs: []string{"access"}, Traces: true},
				{Name: "directory of all to write", Do: chmod("/home/updraftx/.ssh", 0o777), Attrs: []string{"access"}, Traces: true},
				{Name: "file of another", Do: chown(file, 33, 33), Attrs: []string{"access"}},
			},
		},
		{
			Name:     "other keys are left alone",
			Resource: &authkey.Resource{User: "updrafty", PublicKey: keyA},
			Given:    steps(add("updrafty", "4732"), sshDir("updrafty"), keysFile("updrafty", "# mine\n"+keyB+" other", 0o640)),
		},
		{
			Name:     "a key that was there gets its options back",
			Resource: &authkey.Resource{User: "updraftz", PublicKey: keyA, Options: "no-pty"},
			Given:    steps(add("updraftz", "4733"), sshDir("updraftz"), keysFile("updraftz", `command="echo \"hi\" x" `+keyA+" mine\n"+keyB+"\n", 0o600)),
		},
	}
}

func writeKernel(path, text string) step {
	return func(_ context.Context, h resource.Host) error { return h.WriteKernel(path, []byte(text)) }
}

func sysctlCases() []resourcetest.Case {
	const live, lasting = "/proc/sys/net/ipv4/ip_forward", "/etc/sysctl.d/60-updraft-net.ipv4.ip_forward.conf"
	return []resourcetest.Case{
		{
			Name:     "a switch",
			Resource: &sysctl.Resource{Name: "net.ipv4.ip_forward", Value: "1"},
			Given:    writeKernel(live, "0\n"),
			Drifts: []resourcetest.Drift{
				{Name: "other live value", Do: writeKernel(live, "0\n"), Attrs: []string{"live"}},
				{Name: "file gone", Do: remove(lasting), Attrs: []string{"lasting"}},
				{Name: "other file", Do: resourcetest.WriteText(lasting, "net.ipv4.ip_forward = 0\n", 0o644), Attrs: []string{"lasting"}},
			},
		},
		{
			Name:     "several numbers",
			Resource: &sysctl.Resource{Name: "net.ipv4.ip_local_port_range", Value: "20000 60000"},
			Given:    writeKernel("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999\n"),
		},
		{Name: "a setting that the kernel lacks, optional", Resource: &sysctl.Resource{Name: "net.ipv4.updraft_none", Value: "1", Optional: true}},
	}
}

func hostnameCases() []resourcetest.Case {
	return []resourcetest.Case{{
		Name:     "a new name",
		Resource: &hostname.Resource{Name: "updraft-test"},
		Drifts: []resourcetest.Drift{
			{Name: "other live name", Do: resourcetest.RunCommand("hostname", "other"), Attrs: []string{"live"}},
			{Name: "other lasting name", Do: resourcetest.WriteText("/etc/hostname", "other\n", 0o644), Attrs: []string{"lasting"}},
		},
	}}
}

func hostsCases() []resourcetest.Case {
	entries := []hosts.Entry{{IP: "192.0.2.10", Names: []string{"web1.example.org", "web1"}}, {IP: "2001:db8::1", Names: []string{"six"}}}
	const file = "/etc/hosts"
	const base = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	return []resourcetest.Case{
		{
			Name:     "a new block",
			Resource: &hosts.Resource{Entries: entries},
			Given:    resourcetest.WriteText(file, base, 0o644),
			Drifts: []resourcetest.Drift{
				{Name: "block gone", Do: resourcetest.WriteText(file, base, 0o644)},
				{Name: "an entry changed", Do: resourcetest.WriteText(file, base+"# BEGIN updraft\n192.0.2.11 web1\n# END updraft\n", 0o644), Attrs: []string{"entries"}},
			},
		},
		{
			Name:     "a block among others",
			Resource: &hosts.Resource{Name: "second", Entries: entries[:1]},
			Given:    resourcetest.WriteText(file, "127.0.0.1 localhost\n# BEGIN updraft\n192.0.2.9 x\n# END updraft\n# mine\n", 0o664),
		},
		{
			Name:     "a file without a newline at its end stays so",
			Resource: &hosts.Resource{Entries: entries},
			Given:    resourcetest.WriteText(file, "127.0.0.1 localhost\n# end", 0o644),
		},
	}
}

func mountCases() []resourcetest.Case {
	run, steps := resourcetest.RunCommand, resourcetest.Steps
	const target = "/mnt/updraft test/a"
	const base = "# <file system> <mount point> <type> <options> <dump> <pass>\n"
	const table = "# mine\nproc  /proc proc defaults 0 0 \n"
	full := &mount.Resource{Target: target, Source: "updraft", FSType: "tmpfs", Options: []string{"size=64k", "nosuid", "nofail"}}
	return []resourcetest.Case{
		{
			Name:     "a new mount and its mount point",
			Resource: full,
			Given:    resourcetest.WriteText("/etc/fstab", base, 0o644),
			Drifts: []resourcetest.Drift{
				{Name: "unmounted", Do: run("umount", target), Attrs: []string{"mounted"}},
				{Name: "line gone", Do: resourcetest.WriteText("/etc/fstab", base, 0o644), Attrs: []string{"fstab"}},
				{Name: "other option live", Do: run("mount", "-t", "tmpfs", "-o", "remount,ro,nosuid", "updraft", target), Attrs: []string{"live_options"}, Traces: true},
				{Name: "another file system on it", Do: steps(run("umount", target), run("mount", "-t", "tmpfs", "other", target)), Attrs: []string{"mounted"}},
			},
		},
		{
			Name:     "a line that was there comes back",
			Resource: &mount.Resource{Target: "/mnt", Source: "updraft", FSType: "tmpfs", State: mount.Fstab, Pass: 2, Dump: 1},
			Given:    resourcetest.WriteText("/etc/fstab", table+"/dev/sdz9   /mnt ext4  ro,noauto 0  0\n# end", 0o664),
			Drifts: []resourcetest.Drift{
				{Name: "other options", Do: resourcetest.WriteText("/etc/fstab", table+"updraft\t/mnt\ttmpfs\tro\t1\t2\n# end", 0o664), Attrs: []string{"fstab"}},
			},
		},
		{
			Name:     "a bind mount that only reads",
			Resource: &mount.Resource{Target: "/srv/updraft-bind", Source: "/etc/skel", FSType: "none", Options: []string{"bind", "ro"}},
			Given:    resourcetest.WriteText("/etc/fstab", base+"# end", 0o644),
		},
	}
}
