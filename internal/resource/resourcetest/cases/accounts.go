package cases

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/group"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

func groupCases() []resourcetest.Case {
	run := resourcetest.RunCommand
	return []resourcetest.Case{
		{
			Name:     "a new group with a number",
			Resource: &group.Resource{Name: "updraftg", GID: 4711},
			Drifts: []resourcetest.Drift{
				{Name: "gone", Do: run("groupdel", "updraftg")},
				{Name: "other number", Do: run("groupmod", "--gid", "4712", "updraftg"), Attrs: []string{"gid"}},
			},
		},
		{Name: "a new system group", Resource: &group.Resource{Name: "updrafts", System: true}},
		{
			Name:     "a group that was there gets its number back",
			Resource: &group.Resource{Name: "updrafth", GID: 4713},
			Given:    run("groupadd", "--gid", "4714", "updrafth"),
		},
	}
}

// Encrypted forms of two passwords, which nobody is to see.
const (
	hashA = "$6$saltA$sBjBGmgLnhUYmTpHyYBBm5Hhnt1zVdyGFRlV7ZfzVcXzqFpQ1pVZKvHKu2BYqSyEZHHnXVdYlPIsfz2IYgLrC1"
	hashB = "$6$saltB$tBjBGmgLnhUYmTpHyYBBm5Hhnt1zVdyGFRlV7ZfzVcXzqFpQ1pVZKvHKu2BYqSyEZHHnXVdYlPIsfz2IYgLrC1"
)

func setHash(name, hash string) step {
	return func(ctx context.Context, h resource.Host) error {
		_, err := h.Run(ctx, resource.Command{Name: "chpasswd", Args: []string{"--encrypted"}, Stdin: []byte(name + ":" + hash + "\n"), Quiet: true})
		return err
	}
}

func userCases() []resourcetest.Case {
	run, steps := resourcetest.RunCommand, resourcetest.Steps
	full := &user.Resource{
		Name: "updraftu", UID: 4720, Group: "users", Groups: []string{"sudo", "adm"}, Comment: "Test User",
		Home: "/srv/updraftu", Shell: "/bin/bash", Locked: true,
	}
	return []resourcetest.Case{
		{
			Name:     "a new user with everything given",
			Resource: full,
			Drifts: []resourcetest.Drift{
				{Name: "gone", Do: run("userdel", "updraftu")},
				{Name: "other number", Do: run("usermod", "--uid", "4721", "updraftu"), Attrs: []string{"uid"}},
				{Name: "other group", Do: run("usermod", "--gid", "nogroup", "updraftu"), Attrs: []string{"group"}},
				{Name: "a group missing", Do: run("usermod", "--groups", "adm", "updraftu"), Attrs: []string{"groups"}},
				{Name: "a group too many", Do: run("usermod", "--append", "--groups", "daemon", "updraftu"), Attrs: []string{"groups"}},
				{Name: "other shell and comment", Do: run("usermod", "--shell", "/bin/sh", "--comment", "x", "updraftu"), Attrs: []string{"shell", "comment"}},
				{Name: "other home", Do: run("usermod", "--home", "/srv/elsewhere", "--move-home", "updraftu"), Attrs: []string{"home", "home_directory"}},
				{Name: "home gone", Do: run("rm", "-rf", "--one-file-system", "--", "/srv/updraftu"), Attrs: []string{"home_directory"}},
				{Name: "unlocked", Do: setHash("updraftu", hashA), Attrs: []string{"locked"}, Traces: true},
			},
		},
		{
			Name:     "a password is set and not told",
			Resource: &user.Resource{Name: "updraftp", PasswordHash: hashA},
			Given:    mkdir("/etc/skel/.config", resource.Access{Mode: 0o755}),
			Secrets:  []string{hashA, hashB},
			Drifts: []resourcetest.Drift{
				{Name: "other password", Do: setHash("updraftp", hashB), Attrs: []string{"password"}},
			},
		},
		{
			Name:     "a new home is filled from the skeleton",
			Resource: &user.Resource{Name: "updraftk"},
			Given: steps(mkdir("/etc/skel/.config", resource.Access{Mode: 0o755}), resourcetest.WriteText("/etc/skel/.config/x", "x\n", 0o644),
				removeIfThere("/etc/skel/.link"), link(".config", "/etc/skel/.link")),
		},
		{
			Name:     "a system user has no home unless told",
			Resource: &user.Resource{Name: "updrafts", System: true, Shell: "/usr/sbin/nologin", Group: "nogroup"},
		},
		{
			Name:     "a user joins a group of its name",
			Resource: &user.Resource{Name: "updraftj"},
			Given:    run("groupadd", "updraftj"),
		},
		{
			Name: "a user that was there becomes again what it was",
			Resource: &user.Resource{
				Name: "updraftw", Groups: []string{"sudo"}, AppendGroups: true, Shell: "/bin/bash", Home: "/srv/updraftw", PasswordHash: hashA, Locked: true,
			},
			Given: steps(run("useradd", "--user-group", "--create-home", "--shell", "/bin/sh", "--groups", "adm", "updraftw"), setHash("updraftw", hashB)),
			Drifts: []resourcetest.Drift{
				{Name: "unlocked", Do: setHash("updraftw", hashA), Attrs: []string{"locked"}},
				{Name: "other shell", Do: run("usermod", "--shell", "/bin/sh", "updraftw"), Attrs: []string{"shell"}},
			},
			Secrets: []string{hashA, hashB},
		},
	}
}
