package proc_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/proc"
)

func start(t *testing.T, name string, args ...string) (proc.ID, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }() // reaps it; the test looks through proc
	return id, cmd
}

func TestAProcessIsStoppedAndThenGone(t *testing.T) {
	id, _ := start(t, "sleep", "60")
	if !id.Alive() {
		t.Fatal("not alive after its start")
	}
	if err := id.Stop(context.Background(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := id.Signal(0); !errors.Is(err, proc.ErrGone) {
		t.Errorf("signal after its end: %v", err)
	}
}

func TestAProcessThatDoesNotListenIsKilled(t *testing.T) {
	id, _ := start(t, "sh", "-c", "trap '' TERM; exec sleep 60") // what is ignored stays so across exec
	if err := id.Stop(context.Background(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("still alive")
	}
}

func TestAnotherProcessWithTheSameNumberIsNotTouched(t *testing.T) {
	id, _ := start(t, "sleep", "60")
	other := proc.ID{PID: id.PID, Start: id.Start + 1}
	if other.Alive() || !errors.Is(other.Signal(9), proc.ErrGone) {
		t.Error("taken for another process")
	}
	if !id.Alive() {
		t.Error("the wrong process was hit")
	}
	_ = id.Stop(context.Background(), time.Second)
}
