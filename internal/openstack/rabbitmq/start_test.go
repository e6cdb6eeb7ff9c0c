package rabbitmq_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAMemberBeginsOnlyWhereNobodyDid(t *testing.T) {
	const nobody = "127.0.0.1,127.0.0.1" // where nothing listens for RabbitMQ's clients
	for _, c := range []struct {
		name              string
		queues, role      string
		peers             string
		joined            bool
		known             string // status of the question whether the clusters have begun
		starts, keepsData bool
	}{
		{"one that is alone goes on", "alone", "first", "-", true, "2", true, true},
		{"one that is alone and was ended at its first start begins anew", "alone", "first", "-", false, "2", true, false},
		{"the first of a new cloud begins", "quorum", "first", nobody, false, "1", true, false},
		{"the first of a cloud that has begun waits", "quorum", "first", nobody, false, "0", false, true},
		{"the first waits while nobody knows", "quorum", "first", nobody, false, "2", false, true},
		{"another waits for the first", "quorum", "other", nobody, false, "1", false, true},
		{"one that was in the cluster goes on", "quorum", "other", nobody, true, "0", true, true},
		{"one that was alone forgets its queues", "quorum", "first", nobody, true, "1", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			data := filepath.Join(home, "mnesia", "rabbit@127.0.0.1")
			if err := os.MkdirAll(data, 0o700); err != nil {
				t.Fatal(err)
			}
			write("begun.sh", "exit "+c.known+"\n")
			write("waits", "")
			if c.joined {
				write("joined", "")
			}
			if strings.Contains(c.name, "was alone") {
				write("queues", "alone\n")
			}
			cmd := exec.Command("bash", "start.sh", "rabbit@127.0.0.1", c.queues, c.role, c.peers,
				filepath.Join(home, "begun.sh"), "leaf", "ca", "urls", "sh", "-c", "echo started")
			cmd.Env = append(os.Environ(), "HOME="+home)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			said := filepath.Join(home, "said") // what waits for the member to serve keeps its output open
			f, err := os.Create(said)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.Stdout, cmd.Stderr = f, f
			_ = cmd.Run() // one that waits ends with 1
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			out, err := os.ReadFile(said)
			if err != nil {
				t.Fatal(err)
			}
			if starts := strings.Contains(string(out), "started"); starts != c.starts {
				t.Errorf("started: %v\n%s", starts, out)
			}
			if _, err := os.Stat(data); (err == nil) != c.keepsData {
				t.Errorf("its data: %v", err)
			}
		})
	}
}
