package cases

import (
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

// TestImage is the image of the cases of containers. A real host must have it:
// busybox, with its applets in the search path.
const TestImage = "localhost/updraft-test:1"

const (
	quadlets      = "/etc/containers/systemd/"
	testContainer = "updraft-box"
	// theirs is a container that is not updraft's.
	theirs = "[Container]\nImage=" + TestImage + "\nContainerName=" + testContainer + "\nNetwork=host\nCgroupsMode=disabled\nExec=sleep 4711\n"
)

func containerCases() []resourcetest.Case {
	onPodman := resourcetest.Real{Systemd: true, Commands: []string{"podman"}}
	const file, service = quadlets + testContainer + ".container", testContainer + ".service"
	sleeps := []string{"sleep", "1000000"}
	answers := &container.Ready{Exec: []string{"test", "-e", "/etc/hostname"}}
	return []resourcetest.Case{
		{
			Name: "a container that answers",
			Resource: &container.Resource{
				Name: testContainer, Image: TestImage, Exec: sleeps, RestartOn: []string{testConf}, Init: true, StopTimeout: "1s",
				Ready: answers,
			},
			Given: resourcetest.WriteText(testConf, "a\n", 0o644),
			Real:  onPodman,
			Drifts: []resourcetest.Drift{
				{Name: "stopped", Do: systemctl("stop", service), Attrs: []string{"state"}},
				{Name: "edited", Do: resourcetest.WriteText(file, theirs, 0o644), Attrs: []string{"config", "file"}},
				{
					Name: "edited and loaded",
					Do:   resourcetest.Steps(resourcetest.WriteText(file, theirs, 0o644), systemctl("daemon-reload")), Attrs: []string{"config", "file"},
				},
				{Name: "its configuration was changed", Do: touch(testConf), Attrs: []string{"config"}},
				{Name: "readable for root alone", Do: chmod(file, 0o600), Attrs: []string{"config", "file mode"}},
				{Name: "its file is gone", Do: remove(file)},
				{Name: "its file is gone, and systemd knows", Do: resourcetest.Steps(remove(file), systemctl("stop", service), systemctl("daemon-reload"))},
			},
		},
		{
			Name: "a container with everything given, that reloads",
			Resource: &container.Resource{
				Name: testContainer, Image: TestImage, Exec: []string{"sh", "-c", `trap "" HUP; while :; do sleep 1; done; echo "100% $HOME"`}, User: "root",
				Env: map[string]string{"A": "b c%d", "B": `"$HOME" \ '`}, Volumes: []container.Volume{{Source: "/etc/updraft-test.d", Target: "/conf", Options: "ro"}},
				Privileged: true, Cgroups: "split", PIDHost: true, Memory: 64 << 20, CPUs: 1.5, NoFile: 512,
				ReloadOn: []string{"/etc/updraft-test.d"}, Reload: []string{"kill", "-HUP"},
				Ready: &container.Ready{Exec: []string{"true"}, Always: true, Timeout: "10s"}, StartTimeout: "1m", StopTimeout: "1s",
			},
			Given: resourcetest.Steps(
				mkdir("/etc/updraft-test.d", resource.Access{Mode: 0o755}), resourcetest.WriteText("/etc/updraft-test.d/x", "a\n", 0o644),
			),
			Real:   onPodman,
			Drifts: []resourcetest.Drift{{Name: "its configuration was changed", Do: touch("/etc/updraft-test.d/x"), Attrs: []string{"config"}}},
		},
		{
			Name:     "a container that was there comes back and runs",
			Resource: &container.Resource{Name: testContainer, Image: TestImage, Exec: sleeps, StopTimeout: "1s", Ready: answers},
			Given:    resourcetest.Steps(resourcetest.WriteText(file, theirs, 0o644), systemctl("daemon-reload"), systemctl("start", service)),
			Real:     onPodman,
		},
		{
			Name:     "a container that was there and did not run comes back",
			Resource: &container.Resource{Name: testContainer, Image: TestImage, Exec: sleeps, StopTimeout: "1s", Ready: answers},
			Given:    resourcetest.Steps(resourcetest.WriteText(file, theirs, 0o644), systemctl("daemon-reload"), systemctl("stop", service)),
			Real:     onPodman,
		},
	}
}
