package mariadb_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// others is a service with two databases and one user, like Nova.
func others() stack.Service {
	return stack.Service{Name: "nova", Databases: []stack.Database{{Name: "nova_api", User: "nova"}, {Name: "nova", User: "nova"}}}
}

func TestGolden(t *testing.T) { stacktest.Golden(t, mariadb.Service(), others()) }

func TestPasswordsAreNotInFiles(t *testing.T) {
	d := stacktest.Deployment(t, stacktest.Small, mariadb.Service(), others())
	password := d.Secrets.Password(stack.DatabaseSecret("nova"))
	for _, it := range mariadb.Service().Build(d) {
		if f, ok := it.Resource.(*file.Resource); ok && strings.Contains(f.Content, password) {
			t.Errorf("%s has the password in it", f.Path)
		}
	}
}
