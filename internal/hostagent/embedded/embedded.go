// Package embedded holds the host agents that are built into updraft.
//
// `make agents` builds them into the directory bin, which is empty in a fresh
// clone: then [Agent] looks for them beside the running program.
package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

//go:embed bin
var bin embed.FS

// Arches are the architectures that agents are built for, as Go names them.
func Arches() []string { return []string{"amd64", "arm64"} }

// FileName returns the name of the packed agent of an architecture.
func FileName(arch string) string { return "updraft-host-linux-" + arch + ".gz" }

// ErrNone means that there is no agent for an architecture.
var ErrNone = errors.New("the host agent is not built in")

// Agent returns the gzipped agent for an architecture and its digest. It reads
// it each time; who needs it often keeps it.
func Agent(arch string) (gz []byte, sha string, err error) {
	gz, err = bin.ReadFile("bin/" + FileName(arch))
	if errors.Is(err, fs.ErrNotExist) {
		gz, err = beside(arch)
	}
	if err != nil {
		return nil, "", err
	}
	return gz, Digest(gz), nil
}

// Digest names an agent by its packed content.
func Digest(gz []byte) string {
	sum := sha256.Sum256(gz)
	return hex.EncodeToString(sum[:])
}

// beside looks for the agent in the directory of the running program.
func beside(arch string) ([]byte, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(exe)
	gz, err := os.ReadFile(filepath.Join(dir, FileName(arch)))
	if !errors.Is(err, fs.ErrNotExist) {
		return gz, err
	}
	plain, err := os.ReadFile(filepath.Join(dir, "updraft-host"))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && arch != runtime.GOARCH:
		return nil, fmt.Errorf("%w for linux/%s, and neither %s nor updraft-host lies in %s: build updraft with `make`", ErrNone, arch, FileName(arch), dir)
	case err != nil:
		return nil, err
	}
	return Pack(plain)
}

// Pack gzips an agent. The same input gives the same output.
func Pack(plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
