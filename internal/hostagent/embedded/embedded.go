// Package embedded holds the programs for hosts that are built into updraft: the
// host agent, the registry of images, what keeps Keystone's keys, the guard of the
// database's cluster, what watches over computes, and the agent on amphorae.
//
// `make agents` builds them into the directory bin, which is empty in a fresh
// clone: then they are looked for beside the running program.
package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

//go:embed bin
var bin embed.FS

// Program is one that runs on hosts, by the name of its command.
type Program string

// The programs.
const (
	Host     Program = "updraft-host"
	Registry Program = "updraft-registry"
	Keys     Program = "updraft-keys"
	Guard    Program = "updraft-guard"
	Recovery Program = "updraft-recovery"
	Amphora  Program = "updraft-amphora"
)

// Programs returns all of them.
func Programs() []Program { return []Program{Host, Registry, Keys, Guard, Recovery, Amphora} }

// Arches are the architectures that programs are built for, as Go names them.
func Arches() []string { return []string{"amd64", "arm64"} }

// FileName returns the name of a packed program of an architecture.
func FileName(p Program, arch string) string { return string(p) + "-linux-" + arch + ".gz" }

// ErrNone means that there is no program for an architecture.
var ErrNone = errors.New("it is not built in")

// Agent returns the gzipped host agent for an architecture and its digest. It
// reads it each time; who needs it often keeps it.
func Agent(arch string) (gz []byte, sha string, err error) {
	if gz, err = packed(Host, arch); err != nil {
		return nil, "", err
	}
	return gz, Digest(gz), nil
}

// Unpacked returns a program for an architecture, ready to be run.
func Unpacked(p Program, arch string) ([]byte, error) {
	gz, err := packed(p, arch)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, fmt.Errorf("cannot unpack %s: %w", FileName(p, arch), err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("cannot unpack %s: %w", FileName(p, arch), err)
	}
	return plain, nil
}

func packed(p Program, arch string) ([]byte, error) {
	gz, err := bin.ReadFile("bin/" + FileName(p, arch))
	if errors.Is(err, fs.ErrNotExist) {
		return beside(p, arch)
	}
	return gz, err
}

// Digest names a program by its packed content.
func Digest(gz []byte) string {
	sum := sha256.Sum256(gz)
	return hex.EncodeToString(sum[:])
}

// beside looks for a program in the directory of the running one.
func beside(p Program, arch string) ([]byte, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(exe)
	gz, err := os.ReadFile(filepath.Join(dir, FileName(p, arch)))
	if !errors.Is(err, fs.ErrNotExist) {
		return gz, err
	}
	plain, err := os.ReadFile(filepath.Join(dir, string(p)))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && arch != runtime.GOARCH:
		return nil, fmt.Errorf("cannot find %[2]s for linux/%[3]s: %[1]w, and neither %[4]s nor %[2]s lies in %[5]s: build updraft with `make`", ErrNone, p, arch, FileName(p, arch), dir)
	case err != nil:
		return nil, err
	}
	return Pack(plain)
}

// Pack gzips a program. The same input gives the same output.
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
