package masakari_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/masakari"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.GoldenLarge(t, masakari.Service()) }

func TestLocalDisksAreRefused(t *testing.T) {
	d := stacktest.Deployment(t, stacktest.Small, masakari.Service())
	masakari.Service().Build(d)
	if !d.Diags.HasErrors() {
		t.Error("servers with local disks would be made anew elsewhere, and nothing is said")
	}
}
