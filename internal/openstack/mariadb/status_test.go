package mariadb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/status"
)

func TestMemberReadsWhatGaleraSays(t *testing.T) {
	vars := func(size, cluster, local, ready string) string {
		return "wsrep_local_state_comment\t" + local + "\nwsrep_cluster_size\t" + size + "\nwsrep_cluster_state_uuid\t5e21\n" +
			"wsrep_cluster_status\t" + cluster + "\nwsrep_ready\t" + ready + "\n"
	}
	for _, c := range []struct {
		name, printed string
		want          status.Member
	}{
		{"one that is synced serves", vars("3", "Primary", "Synced", "ON") + answered, status.Member{State: "synced", Serves: true, Sees: 3, Identity: "5e21"}},
		{"a donor serves", vars("3", "Primary", "Donor/Desynced", "ON") + answered, status.Member{State: "donor/desynced", Serves: true, Sees: 3, Identity: "5e21"}},
		{"one that joins does not", vars("3", "Primary", "Joining", "OFF") + answered, status.Member{State: "joining", Sees: 3, Identity: "5e21"}},
		{"one in a minority does not", vars("1", "non-Primary", "Initialized", "OFF") + answered, status.Member{State: "not in the primary component", Sees: 1, Identity: "5e21"}},
		{"one that is down does not answer", "", status.Member{State: "does not answer"}},
		{"an error is no answer", "ERROR 2002 (HY000): Can't connect to local server", status.Member{State: "does not answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, member(c.printed)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
