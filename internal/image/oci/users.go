package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// user is one whose number is the same in all images, because volumes outlive
// images. The numbers are of the range that packages allot (adduser.conf(5)),
// where no package of ours has a fixed one.
type user struct {
	name string
	id   int // of the user and of its group
	home string
}

func users() []user {
	const nowhere = "/nonexistent"
	return []user{
		{"mysql", 610, nowhere},
		{"rabbitmq", 611, "/var/lib/rabbitmq"},
		{"memcache", 612, nowhere},
		{"haproxy", 613, "/var/lib/haproxy"},
		{"etcd", 614, "/var/lib/etcd"},
		{"keystone", 620, "/var/lib/keystone"},
		{"glance", 621, "/var/lib/glance"},
		{"placement", 622, "/var/lib/placement"},
		{"nova", 623, "/var/lib/nova"},
		{"neutron", 624, "/var/lib/neutron"},
		{"horizon", 625, "/var/lib/openstack-dashboard"},
		{"libvirt-qemu", 626, "/var/lib/libvirt"},
		{"openvswitch", 627, nowhere},
		{"registry", 628, nowhere},
	}
}

// more are the users that only images have whose recipe names them: one more in all
// of them would have every cloud build all of its images anew.
func more() []user {
	return []user{
		{"heat", 630, "/var/lib/heat"},
		{"masakari", 631, "/var/lib/masakari"},
		{"cinder", 632, "/var/lib/cinder"},
	}
}

// usersOf are the users of an image with these more.
func usersOf(names []string) []user {
	out := users()
	for _, u := range more() {
		if slices.Contains(names, u.name) {
			out = append(out, u)
		}
	}
	return out
}

// UID returns the number that the user and its group have in all images. It
// panics for a name that no image has: that is a mistake in the program.
func UID(name string) int {
	switch name {
	case "root":
		return 0
	case "www-data":
		return 33 // base-passwd has it
	}
	for _, u := range append(users(), more()...) {
		if u.name == name {
			return u.id
		}
	}
	panic(fmt.Sprintf("oci: no image has a user %q", name))
}

// account is what one of the files of accounts gains before packages are installed.
type account struct{ file, lines string }

// accounts are in the formats of passwd(5), group(5), shadow(5) and gshadow(5).
// The passwords are locked.
func accounts(users []user) []account {
	var p, g, s, gs strings.Builder
	for _, u := range users {
		fmt.Fprintf(&p, "%s:x:%d:%d::%s:/usr/sbin/nologin\n", u.name, u.id, u.id, u.home)
		fmt.Fprintf(&g, "%s:x:%d:\n", u.name, u.id)
		fmt.Fprintf(&s, "%s:!*:%s::::::\n", u.name, passwordChanged)
		fmt.Fprintf(&gs, "%s:!::\n", u.name)
	}
	return []account{{"passwd", p.String()}, {"group", g.String()}, {"shadow", s.String()}, {"gshadow", gs.String()}}
}

// passwordChanged stands for the day of every account's last change of its
// password, in days since 1970: the day of the build is nobody's business.
const passwordChanged = "20000"

func passwd() string { return accounts(users())[0].lines }

// checkUsers fails if a package made a user or group of ours with another number.
func checkUsers(root string, users []user) error {
	for _, file := range []string{"passwd", "group"} {
		data, err := os.ReadFile(filepath.Join(root, "etc", file))
		if err != nil {
			return err
		}
		have, err := numbers(string(data))
		if err != nil {
			return fmt.Errorf("cannot read the image's /etc/%s: %w", file, err)
		}
		for _, u := range users {
			if got, ok := have[u.name]; !ok || got != u.id {
				return fmt.Errorf("a package changed %s in /etc/%s from %d to %d: images would not agree on who owns what", u.name, file, u.id, got)
			}
		}
	}
	return nil
}

// numbers returns the third field by the first, of passwd(5) and group(5).
func numbers(text string) (map[string]int, error) {
	out := map[string]int{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) < 3 {
			return nil, fmt.Errorf("line %q has %d fields", strings.TrimSpace(line), len(f))
		}
		id, err := strconv.Atoi(f[2])
		if err != nil {
			return nil, err
		}
		if old, twice := out[f[0]]; twice && old != id {
			return nil, fmt.Errorf("%s is there as %d and as %d", f[0], old, id)
		}
		out[f[0]] = id
	}
	return out, nil
}
