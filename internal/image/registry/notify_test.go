package registry_test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/updraft-cloud/updraft/internal/image/registry"
)

func TestTheServiceManagerIsToldThatItServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := registry.Notify(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := l.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if err := registry.Notify(t.Context(), ""); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	if err := registry.Notify(t.Context(), path+"-gone"); err == nil {
		t.Error("nobody was told, and that is no error")
	}
}
