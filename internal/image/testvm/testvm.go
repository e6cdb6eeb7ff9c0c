// Package testvm makes the virtual machine with which a cloud is proven: a kernel
// and an initramfs with one small program, from the distribution's packages.
//
// The VM takes an address by DHCP (with classless static routes), asks the
// metadata service who it is, answers HTTP on port 80 with one line
//
//	hostname=NAME instance-id=ID address=ADDRESS/LENGTH
//
// and says the same on its serial console after [Ready]. It boots in seconds under
// emulation and needs 96 MiB of memory. It has no disk of its own: [Image.Disk] is
// there because a cloud wants one to boot a server from.
//
// The same versions of the packages give the same bytes. An image is there whole
// or not at all.
package testvm

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/image/oci"
)

const (
	// CommandLine is the kernel's: the console is where Nova looks for it, and
	// what makes an emulated boot slow is left out.
	CommandLine = "console=ttyS0 quiet no_timer_check nokaslr mitigations=off random.trust_cpu=on"
	// Ready begins the line that the VM says when it answers.
	Ready = "UPDRAFT-READY"
	// MinMemory is what it needs, in MiB.
	MinMemory = 96
)

const (
	defaultSuite = "trixie"
	revision     = "1"
	diskSize     = 1 << 20 // bytes
)

// kernelPackage is a small kernel for guests.
const kernelPackage = "linux-image-cloud-amd64"

//go:embed init.sh
var initScript string

//go:embed dhcp.sh
var dhcpScript string

// modules are loaded in this order. Some kernels have the first ones built in.
func modules() []string {
	return []string{
		"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
		"failover", "net_failover", "virtio_net", "virtio_blk",
	}
}

// Builder builds the image and keeps it.
type Builder struct {
	Dir    string // oci.DefaultDir when empty
	Suite  string // trixie when empty
	Source oci.Source
}

// Image is the built VM. Names are paths of files.
type Image struct {
	Kernel string `json:"kernel"`
	Initrd string `json:"initrd"`
	Disk   string `json:"disk"`
	// Version is the kernel's.
	Version string `json:"version"`
	// SHA256 are the sums of the files by their base names.
	SHA256 map[string]string `json:"sha256"`
}

func (b Builder) suite() string {
	if b.Suite == "" {
		return defaultSuite
	}
	return b.Suite
}

// Tag names what the image is made of; it is known without building.
func (b Builder) Tag() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", []string{revision, b.suite(), kernelPackage, initScript, dhcpScript, fmt.Sprint(modules())})
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func (b Builder) path() string {
	dir := b.Dir
	if dir == "" {
		dir = oci.DefaultDir
	}
	return filepath.Join(dir, "testvm-"+b.Tag())
}

const manifestName = "image.json"

// Image returns the image if it is built; otherwise the error is fs.ErrNotExist.
func (b Builder) Image() (Image, error) {
	var i Image
	data, err := os.ReadFile(filepath.Join(b.path(), manifestName))
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(data, &i); err != nil {
		return i, fmt.Errorf("cannot read the test VM's description: %w", err)
	}
	for _, name := range []*string{&i.Kernel, &i.Initrd, &i.Disk} {
		*name = filepath.Join(b.path(), *name)
	}
	return i, nil
}

// The files of the image.
const (
	kernelFile = "vmlinuz"
	initrdFile = "initrd.gz"
	diskFile   = "disk.raw"
)

// File returns where a part of the image is once it is built: its kernel, initrd
// or disk.
func (b Builder) File(part string) (name string, ok bool) {
	base, ok := map[string]string{"kernel": kernelFile, "initrd": initrdFile, "disk": diskFile}[part]
	return filepath.Join(b.path(), base), ok
}

// Observe tells whether the image is built.
func (b Builder) Observe(context.Context) (drift.Report, error) {
	_, err := b.Image()
	if errors.Is(err, fs.ErrNotExist) {
		return drift.Missing(), nil
	}
	return drift.Report{Status: drift.InSync}, err
}

// Ensure builds the image unless it is there.
func (b Builder) Ensure(ctx context.Context, log oci.Log) error {
	if err := b.ensure(ctx, log); err != nil {
		return fmt.Errorf("cannot build the test VM: %w", err)
	}
	return nil
}

func (b Builder) ensure(ctx context.Context, log oci.Log) error {
	work, done, err := oci.Builder{Dir: b.Dir}.Scratch(ctx, filepath.Base(b.path()))
	if err != nil {
		return err
	}
	defer done()
	if _, err := b.Image(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log("test VM: fetching kernel and busybox of %s", b.suite())
	if err := b.Source.Extract(ctx, b.suite(), []string{kernelPackage, "busybox-static"}, work); err != nil {
		return err
	}
	out := filepath.Join(work, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	if err := assemble(ctx, filepath.Join(work, "root"), out); err != nil {
		return err
	}
	if err := os.RemoveAll(b.path()); err != nil { // one without its description
		return err
	}
	return os.Rename(out, b.path())
}

// assemble makes the files of the image from the unpacked packages.
func assemble(ctx context.Context, root, out string) error {
	kernels, err := filepath.Glob(filepath.Join(root, "usr/lib/modules/*"))
	if err != nil {
		return err
	}
	if len(kernels) != 1 {
		return fmt.Errorf("%s brought %d kernels, and one is wanted", kernelPackage, len(kernels))
	}
	i := Image{Kernel: kernelFile, Initrd: initrdFile, Disk: diskFile, Version: filepath.Base(kernels[0]), SHA256: map[string]string{}}
	kernel, err := os.ReadFile(filepath.Join(root, "boot", "vmlinuz-"+i.Version))
	if err != nil {
		return err
	}
	initrd, err := initramfs(ctx, root, kernels[0])
	if err != nil {
		return err
	}
	disk := make([]byte, diskSize)
	copy(disk, "updraft test VM: it boots from kernel and initramfs\n")
	for name, data := range map[string][]byte{i.Kernel: kernel, i.Initrd: initrd, i.Disk: disk} {
		sum := sha256.Sum256(data)
		i.SHA256[name] = hex.EncodeToString(sum[:])
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(i, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, manifestName), data, 0o644)
}

// initramfs returns the compressed first root.
func initramfs(ctx context.Context, root, kernel string) ([]byte, error) {
	busybox, err := os.ReadFile(filepath.Join(root, "usr/bin/busybox"))
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{"bin", fs.ModeDir | 0o755, nil},
		{"bin/busybox", 0o755, busybox},
		{"bin/sh", fs.ModeSymlink | 0o777, []byte("busybox")},
		{"dev", fs.ModeDir | 0o755, nil},
		{"init", 0o755, []byte(initScript)},
		{"lib", fs.ModeDir | 0o755, nil},
		{"lib/dhcp.sh", 0o755, []byte(dhcpScript)},
		{"lib/mod", fs.ModeDir | 0o755, nil},
	}
	order := ""
	for _, name := range modules() {
		data, err := module(ctx, root, kernel, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // built in
		}
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", name, err)
		}
		entries = append(entries, entry{"lib/mod/" + name + ".ko", 0o644, data})
		order += name + ".ko\n"
	}
	entries = append(entries, entry{"lib/mod/order", 0o644, []byte(order)})
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if err := errors.Join(writeCPIO(z, entries), z.Close()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// module returns a module of the kernel, unpacked by the very busybox that the VM
// gets: the initramfs is compressed as a whole, and insmod need not unpack.
func module(ctx context.Context, root, kernel, name string) ([]byte, error) {
	var found string
	err := filepath.WalkDir(filepath.Join(kernel, "kernel"), func(path string, _ fs.DirEntry, err error) error {
		if base := filepath.Base(path); base == name+".ko" || base == name+".ko.xz" {
			found = path
			return fs.SkipAll
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case found == "":
		return nil, fs.ErrNotExist
	case filepath.Ext(found) == ".ko":
		return os.ReadFile(found)
	}
	return exec.CommandContext(ctx, filepath.Join(root, "usr/bin/busybox"), "xz", "-dc", found).Output()
}

// Prune removes images of other tags.
func (b Builder) Prune() error {
	others, err := filepath.Glob(filepath.Join(filepath.Dir(b.path()), "testvm-*"))
	if err != nil {
		return err
	}
	for _, dir := range others {
		if dir == b.path() {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot remove an old test VM: %w", err)
		}
	}
	return nil
}
