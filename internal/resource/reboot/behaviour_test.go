package reboot_test

import (
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/reboot"
)

func TestBootTimeIsThatOfInit(t *testing.T) {
	h := fakehost.New()
	set := func(stat, pid1 string) {
		if err := h.Change(func(f *fakehost.FS) error {
			f.SetKernel("/proc/stat", stat)
			f.SetKernel("/proc/1/stat", pid1)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	// As a container on a computer that has been up for long has them.
	set("cpu 1\nbtime 1795226323\nprocesses 9\n", "1 (system) d) S 0 1 1 0 -1 4194560 2497 22593 0 0 12 17 22 13 20 0 1 0 271074 23605248 3500\n")
	got, err := reboot.BootTime(h)
	if want := time.Unix(1795226323+1, 0).Add(2710740 * time.Millisecond); err != nil || !got.Equal(want) {
		t.Errorf("boot time is %s, %v; want %s", got, err, want)
	}
	for _, c := range [][2]string{{"", "1 (x) S 0\n"}, {"cpu\nbtime 1\n", "1 (x) S 0\n"}, {"cpu\nbtime x\n", ""}} {
		set(c[0], c[1])
		if _, err := reboot.BootTime(h); err == nil {
			t.Errorf("%q and %q have a boot time", c[0], c[1])
		}
	}
}

func TestItIsRebootedOnce(t *testing.T) {
	const grub = "/etc/default-grub"
	h := fakehost.New()
	power := fakehost.Get[*fakehost.Power](h)
	if err := h.WriteFile(grub, nil, resource.Access{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(grub, nil, resource.Access{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	r := &reboot.Resource{Name: "kernel", Changed: []string{grub}}
	for range 3 {
		rep, err := r.Observe(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), h, rep, resource.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	if power.Reboots != 1 {
		t.Errorf("it was rebooted %d times", power.Reboots)
	}
	if err := r.Apply(t.Context(), h, drift.Report{}, resource.Cause{Triggered: []string{"file:/etc/x"}}); err != nil || power.Reboots != 2 {
		t.Errorf("a trigger made it %d reboots, %v", power.Reboots, err)
	}
}
