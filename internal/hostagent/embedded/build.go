package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles a program for an architecture with the Go tool, packs it into
// dir, and returns the path. The result depends on the source and the version
// of Go only.
func Build(ctx context.Context, dir string, p Program, arch string) (string, error) {
	tmp, err := os.MkdirTemp(dir, ".build")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	plain := filepath.Join(tmp, string(p))
	// Without inlining (-l) a program is an eighth smaller, on the way to a host and
	// in its memory. They wait for the kernel more than they calculate.
	cmd := exec.CommandContext(ctx, "go", "build", "-gcflags=all=-l", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=",
		"-o", plain, "github.com/updraft-cloud/updraft/cmd/"+string(p))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s for %s: %w\n%s", p, arch, err, out)
	}
	data, err := os.ReadFile(plain)
	if err != nil {
		return "", err
	}
	gz, err := Pack(data)
	if err != nil {
		return "", err
	}
	packed := filepath.Join(tmp, "packed")
	if err := os.WriteFile(packed, gz, 0o644); err != nil { // a program, not a secret
		return "", err
	}
	path := filepath.Join(dir, FileName(p, arch))
	return path, os.Rename(packed, path)
}
