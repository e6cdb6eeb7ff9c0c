package etcd

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/status"
)

func TestGolden(t *testing.T) { stacktest.Golden(t, Service()) }

func TestReadTellsHowAMemberIs(t *testing.T) {
	printed := func(leader string) string {
		return `[{"Endpoint":"https://10.88.0.11:2379","Status":{"header":{"cluster_id":17,"member_id":18446744073709551615,"revision":1,"raft_term":4},` +
			`"version":"3.5.16","dbSize":20480,"leader":` + leader + `,"raftIndex":9,"raftTerm":4,"raftAppliedIndex":9,"dbSizeInUse":16384}}]` + "\n"
	}
	const three = "ffffffffffffffff, started, controller1, https://10.88.0.11:2380, https://10.88.0.11:2379, false\n" +
		"2, started, controller2, https://10.88.0.12:2380, https://10.88.0.12:2379, false\n" +
		"3, unstarted, , https://10.88.0.13:2380, , false\n"
	for _, c := range []struct {
		name, printed string
		want          status.Member
	}{
		{"one that leads", printed("18446744073709551615") + three, status.Member{State: "leader", Leader: true, Serves: true, Sees: 3, Term: 4, Identity: "11"}},
		{"one that follows", printed("2") + three, status.Member{State: "follower", Serves: true, Sees: 3, Term: 4, Identity: "11"}},
		{"one whose majority is gone", printed("0"), status.Member{State: "without a majority", Term: 4, Identity: "11"}},
		{"one that thinks there is a leader, who does not answer", printed("2"), status.Member{State: "without a majority", Term: 4, Identity: "11"}},
		{"one that is down", "", status.Member{State: "does not answer"}},
		{"an error is no answer", "Error: context deadline exceeded", status.Member{State: "does not answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, read(c.printed)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
