package onhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

// accountFiles are those that useradd writes.
func accountFiles() []string {
	return []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}
}

// readAccounts returns the files with mode and owner, in the order of useradd's lines.
func readAccounts(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, f := range accountFiles() {
		if _, err := os.Stat(f); err != nil {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(describe(f) + string(data))
	}
	return b.String()
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestNewUsersAreThoseOfUseradd holds what is written into the account files to
// what useradd writes there, byte for byte, and pwck and grpck to be content.
func TestNewUsersAreThoseOfUseradd(t *testing.T) {
	h := throwaway(t)
	const hash = "$6$saltA$sBjBGmgLnhUYmTpHyYBBm5Hhnt1zVdyGFRlV7ZfzVcXzqFpQ1pVZKvHKu2BYqSyEZHHnXVdYlPIsfz2IYgLrC1"
	users := []account.NewUser{
		{Name: "plain", UID: 3001, Home: "/home/plain", Shell: "/bin/bash"},
		{Name: "next", Home: "/home/next", Shell: "/bin/sh", Comment: "A Name"},
		{Name: "member", Home: "/srv/member", Shell: "/bin/sh", Group: "users", Groups: []string{"sudo", "adm"}, Hash: hash},
		{Name: "numbered", Home: "/home/numbered", Shell: "/bin/sh", Group: "100"},
		{Name: "default", Home: "/home/default", Groups: []string{"adm"}},
	}
	for _, name := range []string{"/etc/subuid", "/etc/subgid"} {
		if f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644); err != nil { // useradd fills what is there
			t.Fatal(err)
		} else if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before := map[string][]byte{}
	for _, f := range accountFiles() {
		before[f], _ = os.ReadFile(f)
	}
	for _, u := range users {
		args := []string{"--no-create-home", "--home-dir", u.Home, "--comment", u.Comment, "--groups", strings.Join(u.Groups, ",")}
		if u.UID != 0 {
			args = append(args, "--uid", fmt.Sprint(u.UID))
		}
		if u.Group != "" {
			args = append(args, "--gid", u.Group)
		} else {
			args = append(args, "--user-group")
		}
		if u.Shell != "" {
			args = append(args, "--shell", u.Shell)
		}
		run(t, "useradd", append(args, u.Name)...)
		if u.Hash != "" {
			run(t, "usermod", "--password", u.Hash, u.Name)
		}
	}
	want := readAccounts(t)
	for f, data := range before {
		if err := os.WriteFile(f, data, 0); err != nil {
			t.Fatal(err)
		}
	}
	made, err := account.Add(t.Context(), h, users)
	if err != nil || len(made) != len(users) {
		t.Fatalf("made %v, %v", made, err)
	}
	if diff := cmp.Diff(want, readAccounts(t)); diff != "" {
		t.Errorf("it is not what useradd writes (-useradd +ours):\n%s", diff)
	}
	checkAccounts(t)
	for _, u := range users {
		if err := (&user.Resource{Name: u.Name}).Remove(t.Context(), h, true); err != nil {
			t.Error(err)
		}
	}
	checkAccounts(t)
}

// checkAccounts runs the checks of shadow-utils, quietly: homes that are missing,
// as those of some system users are, are no fault of ours.
func checkAccounts(t *testing.T) {
	t.Helper()
	run(t, "pwck", "--read-only", "--quiet")
	run(t, "grpck", "--read-only")
}

// TestTheLockOfTheAccountsStandsAgainstUseradd holds that useradd waits for us.
func TestTheLockOfTheAccountsStandsAgainstUseradd(t *testing.T) {
	h := throwaway(t)
	unlock, err := h.LockFile(t.Context(), "/etc/.pwd.lock")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "useradd", "--no-create-home", "waiting")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLocker(t, cmd.Process.Pid)
	if data, err := os.ReadFile("/etc/passwd"); err != nil || strings.Contains(string(data), "waiting:") {
		t.Errorf("useradd did not wait, %v", err)
	}
	unlock()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	run(t, "userdel", "waiting")
}

// awaitLocker waits until a process waits for a lock (/proc/locks of proc(5)).
func awaitLocker(t *testing.T, pid int) {
	t.Helper()
	for t.Context().Err() == nil {
		data, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, "->") && slices.Contains(strings.Fields(line), fmt.Sprint(pid)) {
				return
			}
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err != nil {
			t.Fatal("useradd ended without waiting for the lock")
		}
	}
}

// TestSystemdSaysWhatSystemctlDoes compares what is asked over systemd's socket
// with what the program prints.
func TestSystemdSaysWhatSystemctlDoes(t *testing.T) {
	h := throwaway(t)
	const properties = "Id,LoadState,LoadError,ActiveState,SubState,UnitFileState,Type,Result,CanReload,NeedDaemonReload," +
		"RemainAfterExit,ActiveEnterTimestamp,ExecMainStartTimestamp,NRestarts"
	args := []string{
		"show", "--timestamp=us+utc", "-p", properties, "--", "ssh.service", "none.service", "-.mount", "multi-user.target",
		"systemd-journald.socket", "apt-daily.timer", "system.slice", "init.scope", "getty@tty1.service", "systemd-ask-password-wall.path",
	}
	cmd := exec.CommandContext(t.Context(), "systemctl", args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Run(t.Context(), resource.Command{Name: "systemctl", Args: args, Reads: true, Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(blocks(string(want)), blocks(string(got.Stdout))); diff != "" {
		t.Errorf("(-systemctl +ours):\n%s", diff)
	}
}

// blocks returns the properties of each unit in order; those without a value,
// which some types of unit show and some do not, are left out.
func blocks(text string) (out [][]string) {
	for b := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(b), "\n"), func(l string) bool { return strings.HasSuffix(l, "=") })
		slices.Sort(lines)
		out = append(out, lines)
	}
	return out
}

// TestUnitsAreEnabledAndStartedTogether goes all the way: files, one reload, and
// systemctl itself agrees.
func TestUnitsAreEnabledAndStartedTogether(t *testing.T) {
	h := throwaway(t)
	const text = "[Service]\nExecStart=/usr/bin/tail -f /dev/null\n\n[Install]\nWantedBy=multi-user.target\n"
	names := []string{"direct1.service", "direct2.service"}
	on := true
	var all []resource.Resource
	for _, n := range names {
		if err := h.WriteFile("/etc/systemd/system/"+n, []byte(text), resource.Access{Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		all = append(all, &unit.Resource{Name: n, Enabled: &on, State: unit.Started})
	}
	done := all[0].(resource.Joiner).ApplyTogether(t.Context(), h, all, make([]resource.Cause, len(all)))
	if !slices.Equal(done, []bool{true, true}) {
		t.Fatal(done)
	}
	run(t, "systemctl", append([]string{"is-enabled"}, names...)...)
	run(t, "systemctl", append([]string{"is-active"}, names...)...)
	if got := run(t, "systemctl", "show", "-p", "NeedDaemonReload", "--value", names[0]); strings.TrimSpace(got) != "no" {
		t.Errorf("a reload is owed: %s", got)
	}
	clearUnits(t, h, names)
}

func clearUnits(t *testing.T, h *hostos.Host, names []string) {
	t.Helper()
	run(t, "systemctl", append([]string{"disable", "--now"}, names...)...)
	for _, n := range names {
		if err := h.Remove("/etc/systemd/system/" + n); err != nil {
			t.Error(err)
		}
	}
	if _, err := h.Run(context.WithoutCancel(t.Context()), resource.Command{Name: "systemctl", Args: []string{"daemon-reload"}}); err != nil {
		t.Error(err)
	}
}
