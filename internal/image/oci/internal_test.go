package oci

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/aptconf"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/drift"
)

func TestProgressIsAFewLines(t *testing.T) {
	var got []string
	p := &progress{name: "x", log: func(f string, a ...any) { got = append(got, fmt.Sprintf(f, a...)) }}
	p.line("I: running apt-get update...")
	p.line("Get:1 http://deb.example trixie InRelease")
	p.line("I: installing remaining packages inside the chroot...")
	p.line("0 upgraded, 20 newly installed, 0 to remove and 0 not upgraded.")
	p.line("Need to get 268 MB of archives.")
	for i := range 20 {
		p.line(fmt.Sprintf("Unpacking p%d (1.0) ...", i))
	}
	for i := range 20 {
		p.line(fmt.Sprintf("Setting up p%d (1.0) ...", i))
	}
	want := []string{
		"x: reading package lists", "x: resolving packages", "x: fetching 20 packages, 268 MB",
		"x: unpacked 4 of 20 packages", "x: unpacked 8 of 20 packages", "x: unpacked 12 of 20 packages", "x: unpacked 16 of 20 packages", "x: unpacked 20 of 20 packages",
		"x: set up 4 of 20 packages", "x: set up 8 of 20 packages", "x: set up 12 of 20 packages", "x: set up 16 of 20 packages", "x: set up 20 of 20 packages",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestBootstrapArguments(t *testing.T) {
	r := Recipe{Name: "x", Suite: "trixie", Packages: []string{"b", "a"}, Excludes: []string{"/opt/*"}}
	args := bootstrapArgs(r, aptconf.Mirror{URI: "http://m.example/d", Security: "http://s.example/d", Keyring: "/k.gpg"}, []string{`A "b"`}, "/w/root")
	for _, want := range []string{
		"--include=a,b", `--aptopt=A "b"`, "--keyring=/k.gpg",
		"deb http://m.example/d trixie main", "deb http://s.example/d trixie-security main",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%q is not among %q", want, args)
		}
	}
	if i := slices.Index(args, "trixie"); i < 0 || args[i+1] != "/w/root" {
		t.Errorf("suite and directory: %q", args)
	}
}

func TestAPackageThatMadeAUserItselfIsFound(t *testing.T) {
	for _, tc := range []struct {
		rule, passwd string
		fails        bool
	}{
		{"all as wanted", passwd(), false},
		{"another number", strings.Replace(passwd(), "nova:x:623", "nova:x:118", 1), true},
		{"twice", passwd() + "nova:x:118:118::/:/bin/sh\n", true},
		{"not there", strings.Replace(passwd(), "nova:", "nova2:", 1), true},
		{"no number", "nova:x:y:z\n", true},
	} {
		root := t.TempDir()
		write(t, filepath.Join(root, "etc/passwd"), tc.passwd)
		write(t, filepath.Join(root, "etc/group"), accounts(users())[1].lines)
		if err := checkUsers(root, users()); (err != nil) != tc.fails {
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
}

func TestARootBecomesAFunctionOfItsPackages(t *testing.T) {
	old := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	start := old.Add(time.Hour)
	digests := map[string]bool{}
	for i := range 2 {
		root := t.TempDir()
		write(t, filepath.Join(root, "usr/bin/tool"), "tool")
		write(t, filepath.Join(root, "etc/shadow"), fmt.Sprintf("root:*:%d:0:99999:7:::\n", 20000+i))
		write(t, filepath.Join(root, "etc/machine-id"), fmt.Sprint("id", i))
		write(t, filepath.Join(root, "etc/ssh/ssh_host_ed25519_key"), fmt.Sprint("secret", i))
		write(t, filepath.Join(root, "var/log/apt/term.log"), time.Now().String())
		write(t, filepath.Join(root, "run/x.pid"), fmt.Sprint(i))
		write(t, filepath.Join(root, "var/lib/made-by-postinst"), "same")
		write(t, filepath.Join(root, "usr/stale.pyc"), code(start.Add(time.Duration(i)*time.Minute)))
		write(t, filepath.Join(root, "usr/good.pyc"), code(old))
		write(t, filepath.Join(root, unordered[0]), []string{`{"b": "<x>", "a": 1}`, `{"a":1,"b":"<x>"}`}[i])
		for _, dir := range []string{"usr", "usr/bin", "usr/bin/tool"} {
			if err := os.Chtimes(filepath.Join(root, dir), old, old); err != nil {
				t.Fatal(err)
			}
		}
		umask := unix.Umask([]int{0o022, 0o077}[i])
		err := clean(root, start)
		unix.Umask(umask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, "var/log/apt")); err != nil {
			t.Error("daemons want their directories of logs:", err)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/good.pyc")); err != nil {
			t.Error("code that is not stale is kept:", err)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/stale.pyc")); err == nil {
			t.Error("code whose source gets another time would be compiled at every start")
		}
		usr, err := os.Stat(filepath.Join(root, "usr"))
		if err != nil {
			t.Fatal(err)
		}
		if !usr.ModTime().Equal(old) {
			t.Errorf("a directory that lost a file while it was cleaned is of %s", usr.ModTime())
		}
		d, err := describe(Recipe{Name: "x", Suite: "trixie"}, root)
		if err != nil {
			t.Fatal(err)
		}
		digests[d.config.Hex] = true
		if !d.created.Equal(old) {
			t.Errorf("created %s, and the youngest package is of %s", d.created, old)
		}
	}
	if len(digests) != 1 {
		t.Errorf("two builds of the same packages differ: %v", digests)
	}
}

// code is the beginning of compiled Python code, of a source of that time.
func code(source time.Time) string {
	b := binary.LittleEndian.AppendUint32([]byte("\xf3\r\r\n\x00\x00\x00\x00"), uint32(source.Unix()))
	return string(append(b, "\x10\x00\x00\x00code"...))
}

func TestALayerIsReadAsItWasWritten(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/file"), "text")
	if err := os.Link(filepath.Join(root, "a/file"), filepath.Join(root, "b-hard")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/outside/it", filepath.Join(root, "c-soft")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := writeTar(&first, root); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	copied := t.TempDir()
	if err := readTar(bytes.NewReader(first.Bytes()), copied); err != nil {
		t.Fatal(err)
	}
	if err := writeTar(&second, copied); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the copy is another layer")
	}
}

// prebuilt returns a store with an image that no packages were needed for.
func prebuilt(t *testing.T, r Recipe) Builder {
	t.Helper()
	b := Builder{Dir: t.TempDir()}
	put(t, b, r, "hello")
	return b
}

func put(t *testing.T, b Builder, r Recipe, text string) {
	t.Helper()
	putAt(t, b, r, text, time.Unix(1_700_000_000, 0))
}

func putAt(t *testing.T, b Builder, r Recipe, text string, at time.Time) {
	t.Helper()
	root := filepath.Join(b.Dir, "incoming")
	write(t, filepath.Join(root, "etc/motd"), text)
	for _, name := range []string{"etc/motd", "etc", "."} {
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	d, err := describe(r, root)
	if err != nil {
		t.Fatal(err)
	}
	bom, err := spdx(r, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.sbomFile(r.Ref("")), string(bom))
	if err := b.store().add(r.Ref(""), root, d); err != nil {
		t.Fatal(err)
	}
}

func TestAnImageIsThereOnceTheListSaysSo(t *testing.T) {
	r := Recipe{Name: "x", Suite: "trixie", Packages: []string{"aa"}}
	b := prebuilt(t, r)
	if got, err := b.Observe(t.Context(), r); err != nil || got.Status != drift.InSync {
		t.Errorf("built: %v, %v", got, err)
	}
	other := r
	other.Packages = []string{"bb"}
	if got, err := b.Observe(t.Context(), other); err != nil || got.Status != drift.Absent {
		t.Errorf("another recipe: %v, %v", got, err)
	}
	if err := b.Ensure(t.Context(), r, t.Logf); err != nil {
		t.Errorf("ensuring what is there: %v", err)
	}
	i, _, err := b.store().find(r.Ref(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(b.store().root(i)); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Observe(t.Context(), r); err != nil || got.Status != drift.Absent {
		t.Errorf("its files are gone: %v, %v", got, err)
	}
}

func TestTheSameFilesOfTwoRecipesAreKeptOnce(t *testing.T) {
	r := Recipe{Name: "x", Suite: "trixie", Packages: []string{"aa"}}
	b := prebuilt(t, r)
	other := r
	other.Packages = []string{"aa", "bb"}
	put(t, b, other, "hello")
	layers, err := readList[layerRecord](b.store().layersFile())
	if err != nil || len(layers) != 1 {
		t.Errorf("layers: %v, %v", layers, err)
	}
	for _, x := range []Recipe{r, other} {
		if _, ok, err := b.store().find(x.Ref("")); !ok || err != nil {
			t.Errorf("%s: %v, %v", x, ok, err)
		}
	}
}

func TestTheLayoutHasWhatTheStoreHas(t *testing.T) {
	r := Recipe{Name: "x", Suite: "trixie", Packages: []string{"aa"}}
	b := prebuilt(t, r)
	b.Layouts = true
	if got, err := b.Observe(t.Context(), r); err != nil || !got.Has("layout") {
		t.Errorf("before: %v, %v", got, err)
	}
	if err := b.Ensure(t.Context(), r, t.Logf); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Observe(t.Context(), r); err != nil || got.Status != drift.InSync {
		t.Errorf("after: %v, %v", got, err)
	}
	img, ok, err := b.findLayout(r.Ref(""))
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	i, _, err := b.store().find(r.Ref(""))
	if err != nil {
		t.Fatal(err)
	}
	if id := img.manifest.Config.Digest; id.Hex != i.ID {
		t.Errorf("the layout's image is %v, the store's %s", id, i.ID)
	}
}

func TestFilesThatWereChangedInTheStoreAreNotGivenAway(t *testing.T) {
	r := Recipe{Name: "x", Suite: "trixie", Packages: []string{"aa"}}
	b := prebuilt(t, r)
	i, _, err := b.store().find(r.Ref(""))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.store().root(i), "etc/motd"), "changed")
	b.Layouts = true
	if err := b.Ensure(t.Context(), r, t.Logf); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("got %v", err)
	}
}

func TestTheBillOfMaterialsNamesEveryPackage(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "var/lib/dpkg/status"), `Package: b
Status: install ok installed
Architecture: amd64
Source: b-src (1.0)
Version: 1.0+x
Description: text
 Package: not this

Package: a
Status: install ok installed
Architecture: all
Version: 2:1.0

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: `+providesPackage+`
Status: install ok installed
Version: 1
`)
	packages, err := packagesOf(root)
	want := []Package{{"a", "2:1.0", "all", "a"}, {"b", "1.0+x", "amd64", "b-src (1.0)"}}
	if err != nil || !slices.Equal(packages, want) {
		t.Fatalf("packages: %+v, %v", packages, err)
	}
	r := Recipe{Name: "x", Suite: "trixie"}
	data, err := spdx(r, described{created: time.Unix(0, 0).UTC()}, packages)
	if err != nil {
		t.Fatal(err)
	}
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Packages) != 3 || len(doc.Relationships) != 3 {
		t.Fatalf("%s, %v", data, err)
	}
	if got := doc.Packages[1].Refs[0].Locator; got != "pkg:deb/debian/a@2:1.0?arch=all&distro=trixie" {
		t.Errorf("purl %s", got)
	}
}

func TestALockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("two hold it: %v", err)
	}
	first.Close()
	second, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
