package cases

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

const (
	testUnit     = "updraft-test.service"
	testUnitFile = "/etc/systemd/system/" + testUnit
	ownUnit      = "updraft-own.service"
	ownFile      = "/etc/systemd/system/" + ownUnit
	testConf     = "/etc/updraft-test.conf"
	// sleepUnit counts as started once its first command has ended.
	sleepUnit = "[Unit]\nDescription=A test of updraft\n[Service]\nType=exec\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n" +
		"[Install]\nWantedBy=multi-user.target\n"
	notifyUnit = "[Service]\nType=forking\nExecStart=/bin/sh -c '/bin/sleep infinity & exit 0'\nExecReload=/bin/true\n" +
		"[Install]\nWantedBy=multi-user.target\n"
)

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// systemctl returns a step that runs systemctl.
func systemctl(args ...string) step { return resourcetest.RunCommand("systemctl", args...) }

// theirUnit makes a unit that is not updraft's, reset to its beginnings.
func theirUnit(then ...step) step {
	steps := []step{
		resourcetest.WriteText(testUnitFile, notifyUnit, 0o644), systemctl("daemon-reload"), systemctl("stop", testUnit),
		systemctl("disable", testUnit),
	}
	return resourcetest.Steps(append(steps, then...)...)
}

func unitCases() []resourcetest.Case {
	onSystemd := resourcetest.Real{Systemd: true}
	return []resourcetest.Case{
		{
			Name:     "a unit of our own runs and is enabled",
			Resource: &unit.Resource{Name: ownUnit, Content: notifyUnit, Enabled: yes(), State: unit.Started},
			Real:     onSystemd,
			Drifts: []resourcetest.Drift{
				{Name: "stopped", Do: systemctl("stop", ownUnit), Attrs: []string{"state"}},
				{Name: "disabled", Do: systemctl("disable", ownUnit), Attrs: []string{"enabled"}},
				{Name: "edited", Do: resourcetest.WriteText(ownFile, sleepUnit, 0o644), Attrs: []string{"config", "content", "loaded"}},
				{
					Name: "edited and loaded",
					Do:   resourcetest.Steps(resourcetest.WriteText(ownFile, sleepUnit, 0o644), systemctl("daemon-reload")), Attrs: []string{"config", "content"},
				},
				{Name: "its file is gone", Do: remove(ownFile)},
			},
		},
		{
			Name:     "a unit that was there is enabled and started, and later as before",
			Resource: &unit.Resource{Name: testUnit, Enabled: yes(), State: unit.Started},
			Given:    theirUnit(),
			Real:     onSystemd,
			Drifts:   []resourcetest.Drift{{Name: "stopped", Do: systemctl("stop", testUnit), Attrs: []string{"state"}}},
		},
		{
			Name:     "a unit that was there is stopped and disabled, and later as before",
			Resource: &unit.Resource{Name: testUnit, Enabled: no(), State: unit.Stopped},
			Given:    theirUnit(systemctl("enable", testUnit), systemctl("start", testUnit)),
			Real:     onSystemd,
			Drifts: []resourcetest.Drift{
				{Name: "started", Do: systemctl("start", testUnit), Attrs: []string{"state"}},
				{Name: "enabled", Do: systemctl("enable", testUnit), Attrs: []string{"enabled"}},
			},
		},
		{
			Name:     "the file of a unit that was there comes back",
			Resource: &unit.Resource{Name: testUnit, Content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n", State: unit.Started},
			Given:    theirUnit(),
			Real:     onSystemd,
		},
		{
			Name:     "drop-ins",
			Resource: &unit.Resource{Name: testUnit, DropIns: map[string]string{"10-limits": "[Service]\nLimitNOFILE=4096\n"}, State: unit.Started},
			Given:    theirUnit(systemctl("start", testUnit)),
			Real:     onSystemd,
			Drifts: []resourcetest.Drift{
				{
					Name:  "a drop-in is gone",
					Do:    remove(testUnitFile + ".d/updraft-10-limits.conf"),
					Attrs: []string{"drop-in updraft-10-limits.conf", "loaded"},
				},
				{
					Name:  "a drop-in of an earlier run is left",
					Do:    resourcetest.WriteText(testUnitFile+".d/updraft-old.conf", "[Service]\nNice=5\n", 0o644),
					Attrs: []string{"drop-in updraft-old.conf", "loaded"},
				},
			},
		},
		{
			Name: "a service with configuration that it reloads and one that needs a restart",
			Resource: &unit.Resource{
				Name: "updraft-conf.service", Content: notifyUnit, State: unit.Started,
				ReloadOn: []string{testConf}, RestartOn: []string{"/etc/updraft-test.d"},
			},
			Given: resourcetest.Steps(
				resourcetest.WriteText(testConf, "a\n", 0o644), mkdir("/etc/updraft-test.d", resource.Access{Mode: 0o755}),
				removeIfThere("/etc/updraft-test.d/x"),
			),
			Real: onSystemd,
			Drifts: []resourcetest.Drift{
				{Name: "a file to reload", Do: touch(testConf), Attrs: []string{"config"}},
				{Name: "a directory to restart for", Do: chmod("/etc/updraft-test.d", 0o755), Attrs: []string{"config"}},
			},
		},
		{
			Name:     "a masked unit",
			Resource: &unit.Resource{Name: "updraft-masked.service", Masked: yes()},
			Real:     onSystemd,
			Drifts:   []resourcetest.Drift{{Name: "unmasked", Do: systemctl("unmask", "updraft-masked.service")}},
		},
		{
			Name:     "a template is a file only",
			Resource: &unit.Resource{Name: "updraft-test@.service", Content: "[Service]\nExecStart=/bin/sleep %i\n"},
			Real:     onSystemd,
			Drifts: []resourcetest.Drift{
				{Name: "edited", Do: resourcetest.WriteText("/etc/systemd/system/updraft-test@.service", "[Service]\n", 0o644), Attrs: []string{"content"}},
			},
		},
	}
}

// touch rewrites a file with the content it has.
func touch(path string) step {
	return func(_ context.Context, h resource.Host) error {
		data, err := h.ReadFile(path)
		if err != nil {
			return err
		}
		return h.WriteFile(path, data, resource.Access{Mode: 0o644})
	}
}

// mkdirAll makes a directory of root's and those above it.
func mkdirAll(path string) step {
	return func(_ context.Context, h resource.Host) error { return conffile.MakeDirs(h, path) }
}
