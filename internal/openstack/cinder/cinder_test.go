package cinder_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/cinder"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

// with is a cloud that asks for Cinder.
func with(cloud string) string {
	return strings.Replace(cloud, "openstack: {", "openstack: {services: [cinder], ", 1)
}

func TestWhatItAsksFor(t *testing.T) {
	stacktest.GoldenOf(t, map[string]string{"small": with(stacktest.Small), "large": with(stacktest.Large)}, cinder.Service())
}
