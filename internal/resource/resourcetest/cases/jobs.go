package cases

import (
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/cron"
	"github.com/updraft-cloud/updraft/internal/resource/kernelmodule"
	"github.com/updraft-cloud/updraft/internal/resource/reboot"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/timer"
)

func commandCases() []resourcetest.Case {
	const done = "/var/tmp/updraft-test-done"
	gone := removeIfThere(done)
	back := resourcetest.Drift{Name: "undone", Do: remove(done), Attrs: []string{"work"}}
	return []resourcetest.Case{
		{
			Name: "creates", Given: gone, Stays: true, Drifts: []resourcetest.Drift{back},
			Resource: &command.Resource{Name: "make", Run: []string{"touch", done}, Creates: done},
		},
		{
			Name: "unless, with a script", Given: gone, Stays: true, Drifts: []resourcetest.Drift{back},
			Resource: &command.Resource{Name: "make", Script: "touch " + done, Unless: "test -e " + done},
		},
		{
			Name: "onlyif", Given: resourcetest.WriteText(done, "x", 0o644), Stays: true,
			Resource: &command.Resource{Name: "clean", Run: []string{"rm", "-rf", "--one-file-system", "--", done}, OnlyIf: "test -e " + done},
		},
		{
			Name: "as another user, sensitive, with input", Given: gone, Stays: true, Drifts: []resourcetest.Drift{back},
			Resource: &command.Resource{
				Name: "make", Run: []string{"touch", done}, Creates: done, User: "daemon", Dir: "/tmp",
				Env: map[string]string{"TOKEN": "sesame"}, Stdin: "open sesame", Sensitive: true,
			},
			Secrets: []string{"sesame"},
		},
	}
}

func cronCases() []resourcetest.Case {
	const file = "/etc/cron.d/updraft-test"
	return []resourcetest.Case{{
		Name: "a job",
		Resource: &cron.Resource{
			Name: "test", Schedule: "*/5 0-6 * jan,jul mon-fri", Command: `date +%s > /var/tmp/x`, User: "daemon",
			Env: map[string]string{"MAILTO": "", "PATH": "/usr/bin:/bin"},
		},
		Given: mkdirAll("/etc/cron.d"),
		Drifts: []resourcetest.Drift{
			{Name: "edited", Do: resourcetest.WriteText(file, "# nothing\n", 0o644), Attrs: []string{"job"}},
			{Name: "writable for all", Do: chmod(file, 0o666), Attrs: []string{"job mode"}},
			{Name: "gone", Do: remove(file)},
		},
	}}
}

func timerCases() []resourcetest.Case {
	return []resourcetest.Case{{
		Name: "a job with everything given",
		Resource: &timer.Resource{
			Name: "updraft-job", Command: []string{"/bin/echo", `100% of "$HOME"`, `back\slash`}, OnCalendar: "Mon..Fri *-*-* 03:30:00",
			OnBoot: "10min", Every: "1h 30min", RandomDelay: "5min", Persistent: true, User: "daemon",
			Env: map[string]string{"A": "b c%d"}, Timeout: "1min",
		},
		Real: resourcetest.Real{Systemd: true},
		Drifts: []resourcetest.Drift{
			{Name: "stopped", Do: systemctl("stop", "updraft-job.timer"), Attrs: []string{"timer state"}},
			{Name: "disabled", Do: systemctl("disable", "updraft-job.timer"), Attrs: []string{"timer enabled"}},
			{Name: "the timer's file is gone", Do: remove("/etc/systemd/system/updraft-job.timer")},
			{Name: "the service's file is gone", Do: remove("/etc/systemd/system/updraft-job.service"), Attrs: []string{"service"}},
		},
	}}
}

func kernelmoduleCases() []resourcetest.Case {
	modules := resourcetest.Real{Skip: "it depends on the kernel which modules there are"}
	const conf = "/etc/modules-load.d/updraft-dummy.conf"
	return []resourcetest.Case{
		{
			Name:     "a module with options",
			Resource: &kernelmodule.Resource{Name: "dummy", Options: map[string]string{"numdummies": "2"}},
			Given:    mkdirAll("/etc/modprobe.d"), // it comes with kmod, which a small host lacks
			Real:     modules,
			Drifts: []resourcetest.Drift{
				{Name: "unloaded", Do: resourcetest.RunCommand("modprobe", "-r", "dummy"), Attrs: []string{"loaded"}},
				{Name: "not loaded at boot", Do: remove(conf), Attrs: []string{"boot"}},
				{
					Name: "other options", Do: resourcetest.WriteText("/etc/modprobe.d/updraft-dummy.conf", "options dummy numdummies=1\n", 0o644),
					Attrs: []string{"options"},
				},
			},
		},
		{
			Name:     "a module whose options are no longer wanted",
			Resource: &kernelmodule.Resource{Name: "br-netfilter"},
			Real:     modules,
			Drifts: []resourcetest.Drift{{
				Name: "options are left", Do: resourcetest.WriteText("/etc/modprobe.d/updraft-br_netfilter.conf", "options x y=1\n", 0o644), Attrs: []string{"options"},
			}},
		},
		{
			Name:     "a module that is built in",
			Resource: &kernelmodule.Resource{Name: "overlay"},
			Real:     modules,
		},
	}
}

func rebootCases() []resourcetest.Case {
	real := resourcetest.Real{Skip: "it takes the host down"}
	const asks, read = "/run/updraft-test-reboot", "/etc/updraft-test.conf"
	return []resourcetest.Case{
		{
			Name: "a file asks for it", Resource: &reboot.Resource{Name: "test", When: []string{asks}},
			Given: resourcetest.WriteText(asks, "", 0o644), Real: real, Stays: true,
		},
		{
			Name: "a file is newer than the boot", Resource: &reboot.Resource{Name: "test", Changed: []string{read}},
			Given: resourcetest.Steps(resourcetest.WriteText(read, "a\n", 0o644), touch(read)), Real: real, Stays: true,
		},
	}
}
