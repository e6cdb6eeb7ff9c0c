package static_test

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/machinetest"
	"github.com/updraft-cloud/updraft/internal/machine/static"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// host listens like an ssh server and returns its port.
func host(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestConformance(t *testing.T) {
	port := host(t)
	machinetest.Suite(t, machinetest.Harness{
		New:   func(*testing.T) machine.Provider { return static.New() },
		Cloud: func(suffix string) string { return suffix },
		Topology: func(_ *testing.T, cloud string, n int) machine.Topology {
			topo := machine.Topology{Cloud: cloud, Networks: []machine.Network{{Name: "mgmt"}}}
			for i := range n {
				topo.Machines = append(topo.Machines, machine.Machine{
					Cloud: cloud, Name: "h" + strconv.Itoa(i), Access: machine.Access{Address: "127.0.0.1", Port: port},
				})
			}
			return topo
		},
	})
}

func TestAMachineThatDoesNotAnswerIsUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	m := machine.Machine{Cloud: "c", Name: "h", Access: machine.Access{Address: "127.0.0.1", Port: port}}
	_, err = static.New().ObserveMachine(t.Context(), m)
	if retry.ClassOf(err) != retry.Unreachable {
		t.Errorf("class %s: %v", retry.ClassOf(err), err)
	}
}

func TestTargetFollowsAccess(t *testing.T) {
	nic := []machine.NIC{{Address: netip.MustParsePrefix("192.0.2.7/24")}}
	for _, tc := range []struct {
		rule string
		m    machine.Machine
		want transport.Target
		err  bool
	}{
		{
			"the first address serves where access names none",
			machine.Machine{Name: "a", NICs: nic, Access: machine.Access{User: "admin", Identity: "/k", KnownHosts: "/kh"}},
			transport.Target{Name: "a", Address: "192.0.2.7", User: "admin", Identities: []string{"/k"}, KnownHosts: "/kh", AcceptNew: true},
			false,
		},
		{
			"the jump host takes user, identity and known_hosts over",
			machine.Machine{Name: "a", Access: machine.Access{User: "admin", Address: "web.example", Jump: "gate.example", Identity: "/k"}},
			transport.Target{
				Name: "a", Address: "web.example", User: "admin", Identities: []string{"/k"}, AcceptNew: true,
				Jump: &transport.Target{Name: "jump host gate.example", Address: "gate.example", Port: 22, User: "admin", Identities: []string{"/k"}, AcceptNew: true},
			},
			false,
		},
		{
			"user, IPv6 address and port of the jump host are read",
			machine.Machine{Name: "a", Access: machine.Access{Address: "192.0.2.1", Jump: "ada@[2001:db8::1]:2222"}},
			transport.Target{
				Name: "a", Address: "192.0.2.1", AcceptNew: true,
				Jump: &transport.Target{Name: "jump host 2001:db8::1", Address: "2001:db8::1", Port: 2222, User: "ada", AcceptNew: true},
			},
			false,
		},
		{"no address", machine.Machine{Name: "a"}, transport.Target{}, true},
		{"a jump host with a bad port", machine.Machine{Name: "a", NICs: nic, Access: machine.Access{Jump: "gate:99999"}}, transport.Target{}, true},
		{"a jump host without a name", machine.Machine{Name: "a", NICs: nic, Access: machine.Access{Jump: "ada@"}}, transport.Target{}, true},
	} {
		got, err := static.New().Target(context.Background(), tc.m)
		if (err != nil) != tc.err {
			t.Errorf("%s: error %v", tc.rule, err)
			continue
		}
		opts := cmpopts.IgnoreFields(transport.Target{}, "Dial", "SudoPassword")
		if diff := cmp.Diff(tc.want, got, opts); diff != "" && !tc.err {
			t.Errorf("%s (-want +got):\n%s", tc.rule, diff)
		}
	}
}
