package oci

import (
	"bufio"
	"context"
	_ "embed" // of what goes into images
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/aptconf"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// excludes are not unpacked from any package: nobody reads manuals in a
// container. Licences stay.
var excludes = []string{
	"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*",
}

const licences = "/usr/share/doc/*/copyright"

// Log tells a person what is going on.
type Log func(format string, args ...any)

// Source says where packages come from.
type Source struct {
	// Mirror is asked for packages; this computer's own when empty.
	Mirror string
	// Proxy is an HTTP proxy for packages, such as updraft's own cache of them.
	// When empty, apt's own configuration says.
	Proxy string
}

func (s Source) mirror(suite string) (aptconf.Mirror, error) {
	if s.Mirror != "" {
		return aptconf.Mirror{URI: s.Mirror, Keyring: aptconf.Keyring()}, nil
	}
	return aptconf.HostMirror(suite)
}

// bootstrap installs the recipe's packages into work/root. lock is inherited by
// everything that it starts, so that nobody takes a build for dead of which some
// process still lives.
//
// The build has its own process and mount namespaces, and dies with updraft: one
// that is killed leaves no process and nothing mounted.
func bootstrap(ctx context.Context, r Recipe, s Source, work, logFile string, lock *os.File, log Log) error {
	args, err := s.arguments(ctx, r, filepath.Join(work, "root"))
	if err != nil {
		return err
	}
	if err := writeSeed(work, r); err != nil {
		return err
	}
	return withOwnThread(func() error {
		return run(mmdebstrap(ctx, work, lock, args), logFile, &progress{name: r.Name, log: log})
	})
}

// Extract unpacks packages of a suite, and those that they depend on, into
// work/root without running anything of them.
func (s Source) Extract(ctx context.Context, suite string, packages []string, work string) error {
	r := Recipe{Name: "extract", Suite: suite, Packages: packages}
	if err := r.Check(); err != nil {
		return err
	}
	m, err := s.mirror(suite)
	if err != nil {
		return err
	}
	args := append([]string{"--mode=root", "--variant=extract", "--format=directory", "--include=" + strings.Join(sorted(packages), ",")},
		sourceArgs(r, m, aptOptions(ctx, s), filepath.Join(work, "root"))...)
	return withOwnThread(func() error {
		return run(mmdebstrap(ctx, work, nil, args), filepath.Join(work, "log"), &progress{log: func(string, ...any) {}})
	})
}

// simulate only resolves the recipe's packages.
func simulate(ctx context.Context, r Recipe, s Source) error {
	work, err := os.MkdirTemp("", "updraft-simulate-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // only a temporary directory
	args, err := s.arguments(ctx, r, filepath.Join(work, "root"))
	if err != nil {
		return err
	}
	return withOwnThread(func() error {
		cmd := mmdebstrap(ctx, work, nil, append([]string{"--simulate"}, args...))
		return run(cmd, filepath.Join(work, "log"), &progress{name: r.Name, log: func(string, ...any) {}})
	})
}

// arguments are all those of mmdebstrap(1).
func (s Source) arguments(ctx context.Context, r Recipe, root string) ([]string, error) {
	m, err := s.mirror(r.Suite)
	if err != nil {
		return nil, err
	}
	return bootstrapArgs(r, m, aptOptions(ctx, s), root), nil
}

// mmdebstrap returns the command in its own namespaces.
func mmdebstrap(ctx context.Context, work string, lock *os.File, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"}, args...)...)
	cmd.Env = append(os.Environ(), "UPDRAFT_SEED="+work, "TMPDIR="+work, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root",
		"PYTHONHASHSEED=0") // the order of sets gets into compiled code
	if lock != nil {
		cmd.ExtraFiles = []*os.File{lock}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// run runs mmdebstrap and follows what it says.
func run(cmd *exec.Cmd, log string, p *progress) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	last, readErr := follow(out, log, p)
	if err := cmd.Wait(); err != nil {
		return retry.Mark(fmt.Errorf("mmdebstrap: %w (all it said is in %s)\n%s", err, log, strings.Join(last, "\n")), retry.Transient)
	}
	return readErr
}

// tailLines is how much of the output is shown of a build that failed.
const tailLines = 15

// follow reads lines to the end, keeps them in a file, tells p of each and
// returns the last.
func follow(r io.Reader, path string, p *progress) ([]string, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	var last []string
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		fmt.Fprintln(w, sc.Text())
		p.line(sc.Text())
		if last = append(last, sc.Text()); len(last) > tailLines {
			last = last[1:]
		}
	}
	if sc.Err() != nil {
		_, _ = io.Copy(w, r) // an endless line: the build must not block on it
	}
	return last, errors.Join(sc.Err(), w.Flush())
}

// aptOptions are lines of apt.conf(5).
func aptOptions(ctx context.Context, s Source) []string {
	lines := []string{`Acquire::Languages "none"`, `Acquire::Retries "3"`, `APT::Install-Recommends "false"`}
	if s.Proxy != "" {
		return append(lines, fmt.Sprintf("Acquire::http::Proxy %q", s.Proxy))
	}
	return append(lines, aptconf.Proxies(ctx)...)
}

// The hooks run in mmdebstrap's shell with the root in $1. They hold no data:
// that is in files of the directory $UPDRAFT_SEED.
const (
	// 101: the action is not allowed (invoke-rc.d policy): nothing starts while building.
	setupHook = `mkdir -p "$1/usr/sbin" && printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"`
	// What is left out is told to dpkg in a file, after mmdebstrap's own first
	// unpacking: it would filter that with a program that takes longer to start than
	// a package takes to unpack. What that brought is removed; dpkg brings the
	// licences again.
	extractHook = `set -e
cd "$1"
rm -rf usr/share/man/* usr/share/doc/* usr/share/locale/* usr/share/info/* usr/share/lintian/*
cp "$UPDRAFT_SEED/seed.dpkg" "etc/dpkg/dpkg.cfg.d/` + dpkgConfig + `"
`
	// Before the packages that would make users themselves.
	essentialHook = `set -e
for f in passwd group shadow gshadow; do
	if [ -e "$1/etc/$f" ]; then cat "$UPDRAFT_SEED/seed.$f" >>"$1/etc/$f"; fi
done
cat "$UPDRAFT_SEED/seed.status" >>"$1/var/lib/dpkg/status"
cp "$UPDRAFT_SEED/seed.list" "$1/var/lib/dpkg/info/` + providesPackage + `.list"
chroot "$1" dpkg-divert --quiet --local --rename --divert ` + py3compile + `.real --add ` + py3compile + `
cp "$UPDRAFT_SEED/seed.py3compile" "$1` + py3compile + `"
chmod 755 "$1` + py3compile + `"
`
	// Every package of Python code would start two interpreters to compile it. All
	// of it is compiled at once instead, on all processors. What is no valid code
	// for this Python (templates, examples) stays as it is.
	customizeHook = `set -e
rm "$1` + py3compile + `"
chroot "$1" dpkg-divert --quiet --local --rename --remove ` + py3compile + `
dirs=$(tr ' ' '\n' <"$1/var/cache/py3compile" 2>/dev/null | grep ^/ | sort -u) || true
rm -f "$1/var/cache/py3compile"
if [ -x "$1/usr/bin/python3" ]; then
	cp "$UPDRAFT_SEED/seed.updraft_tls.py" "$1/usr/lib/python3/dist-packages/updraft_tls.py"
	echo import updraft_tls >"$1/usr/lib/python3/dist-packages/updraft_tls.pth"
	chmod 644 "$1"/usr/lib/python3/dist-packages/updraft_tls.*
	chroot "$1" python3 -m compileall -qq -j 0 /usr/lib/python3/dist-packages $dirs || true
fi
`
	dpkgConfig = "99updraft"
	py3compile = "/usr/bin/py3compile"
	// What it would have compiled is noted.
	py3compileStub = "#!/bin/sh\necho \"$@\" >>/var/cache/py3compile\n"
)

// pythonTLS is a module that every interpreter in an image loads; it says why.
//
//go:embed python/updraft_tls.py
var pythonTLS string

// bootstrapArgs are the arguments of mmdebstrap(1).
func bootstrapArgs(r Recipe, m aptconf.Mirror, apt []string, root string) []string {
	args := []string{
		"--mode=root", "--variant=minbase", "--format=directory", "--verbose",
		"--include=" + strings.Join(sorted(r.Packages), ","),
		"--dpkgopt=force-unsafe-io",
		"--setup-hook=" + setupHook,
		"--extract-hook=" + extractHook,
		"--essential-hook=" + essentialHook,
		"--customize-hook=" + customizeHook,
	}
	return append(args, sourceArgs(r, m, apt, root)...)
}

// sourceArgs say what is installed from where.
func sourceArgs(r Recipe, m aptconf.Mirror, apt []string, root string) []string {
	var args []string
	for _, line := range apt {
		args = append(args, "--aptopt="+line)
	}
	if m.Keyring != "" {
		args = append(args, "--keyring="+m.Keyring)
	}
	args = append(args, r.Suite, root, fmt.Sprintf("deb %s %s main", m.URI, r.Suite))
	if m.Security != "" {
		args = append(args, fmt.Sprintf("deb %s %s-security main", m.Security, r.Suite))
	}
	return args
}

// providesPackage is a package that dpkg believes is there.
const providesPackage = "updraft-provides"

// writeSeed writes what the hooks put into the root.
func writeSeed(work string, r Recipe) error {
	status := ""
	if len(r.Provides) > 0 {
		status = "\nPackage: " + providesPackage + "\nStatus: install ok installed\nPriority: optional\nSection: misc\n" +
			"Maintainer: updraft\nArchitecture: all\nVersion: 1\nProvides: " + strings.Join(sorted(r.Provides), ", ") +
			"\nDescription: what the image does without\n"
	}
	dpkg := "force-unsafe-io\n"
	for _, path := range slices.Concat(excludes, sorted(r.Excludes)) {
		dpkg += "path-exclude=" + path + "\n"
	}
	dpkg += "path-include=" + licences + "\n"
	files := []account{{"dpkg", dpkg}, {"status", status}, {"list", "/.\n"}, {"py3compile", py3compileStub}, {"updraft_tls.py", pythonTLS}}
	for _, f := range append(files, accounts(usersOf(r.Users))...) {
		if err := os.WriteFile(filepath.Join(work, "seed."+f.file), []byte(f.lines), 0o600); err != nil {
			return err
		}
	}
	return nil
}
