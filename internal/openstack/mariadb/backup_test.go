package mariadb

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

// nsenter stands for the one that enters the server's container: it notes which
// program was run there, and plays it.
const nsenter = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
echo "$2 $(echo "$*" | grep -o 'wsrep_desync = .*')" >>"$LOG"
case $2 in
mariadb-dump) echo "$*"; echo '-- Dump completed'; exit "${FAILS:-0}" ;;
esac
`

// saved runs Save of the only store where the server is played.
func saved(t *testing.T, cloud, fails string) (out []byte, log string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"nsenter": nsenter, "mariadb.pid": "1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := stacktest.Deployment(t, cloud, Service(), stack.Service{Name: "nova", Databases: []stack.Database{{Name: "nova", User: "nova"}, {Name: "nova_api", User: "nova"}}})
	script := strings.ReplaceAll(stores(d)[0].Save("controller1"), "/run/updraft/", dir+"/")
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "LOG=" + dir + "/log", "FAILS=" + fails}
	out, err = cmd.Output()
	text, readErr := os.ReadFile(filepath.Join(dir, "log"))
	if readErr != nil {
		t.Fatal(readErr)
	}
	return out, strings.Join(strings.Fields(string(text)), " "), err
}

func TestADumpIsOfAllDatabasesAndWhole(t *testing.T) {
	out, log, err := saved(t, stacktest.Small, "0")
	if err != nil {
		t.Fatal(err)
	}
	if err := backup.Check(stores(stacktest.Deployment(t, stacktest.Small))[0].Name, bytes.NewReader(out)); err != nil {
		t.Error(err)
	}
	if log != "mariadb-dump" {
		t.Errorf("it ran: %s", log)
	}
}

func TestADumpOfAClusterLeavesFlowControlMeanwhile(t *testing.T) {
	for _, fails := range []string{"0", "2"} {
		_, log, err := saved(t, stacktest.Large, fails)
		if (err != nil) != (fails != "0") {
			t.Errorf("the dump ended with %s, and the whole with %v", fails, err)
		}
		if want := "mariadb wsrep_desync = ON mariadb-dump mariadb wsrep_desync = OFF"; log != want {
			t.Errorf("it ran: %s, want: %s", log, want)
		}
	}
}
