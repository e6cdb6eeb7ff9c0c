package lab_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/pkgcache"
)

// requireTools skips the test where it cannot run: not root, or a program is
// missing. REQUIRE=lab turns that into a failure.
func requireTools(t *testing.T, tools ...string) {
	t.Helper()
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) == 0 {
		return
	}
	if strings.Contains(os.Getenv("REQUIRE"), "lab") {
		t.Fatalf("REQUIRE=lab, and there is no %s", strings.Join(missing, ", "))
	}
	t.Skipf("no %s", strings.Join(missing, ", "))
}

// startCache runs a package cache on a port of its own and returns its address.
func startCache(t *testing.T, opts pkgcache.Options) (*pkgcache.Cache, string) {
	t.Helper()
	c, err := pkgcache.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, c.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, "http://" + l.Addr().String()
}

// aptRoot is an apt with directories of its own, so that nothing of this
// machine's is touched.
type aptRoot struct {
	t          *testing.T
	dir, proxy string
}

func newApt(t *testing.T, proxy, source string) *aptRoot {
	t.Helper()
	a := &aptRoot{t, t.TempDir(), proxy}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc", "out"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a.write("etc/sources.list", source+"\n")
	a.write("state/status", "")
	return a
}

func (a *aptRoot) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

func (a *aptRoot) run(args ...string) (string, error) {
	options := map[string]string{
		"Dir::State": a.dir + "/state", "Dir::State::status": a.dir + "/state/status", "Dir::Cache": a.dir + "/cache",
		"Dir::Etc::sourcelist": a.dir + "/etc/sources.list", "Dir::Etc::sourceparts": "-",
		"Acquire::http::Proxy": a.proxy, "Acquire::Languages": "none", "Acquire::Retries": "0",
		"APT::Sandbox::User": "root", "APT::Update::Error-Mode": "any",
	}
	var all []string
	for k, v := range options {
		all = append(all, "-o", k+"="+v)
	}
	cmd := exec.CommandContext(a.t.Context(), "apt-get", append(all, args...)...)
	cmd.Dir = filepath.Join(a.dir, "out")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (a *aptRoot) mustRun(args ...string) {
	a.t.Helper()
	if out, err := a.run(args...); err != nil {
		a.t.Fatalf("apt-get %v: %v\n%s", args, err, out)
	}
}

// downloaded returns the checksum of the one file that was downloaded.
func (a *aptRoot) downloaded() string {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(a.dir, "out", "*.deb"))
	if err != nil || len(files) != 1 {
		a.t.Fatalf("downloaded: %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		a.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// ownMirror returns the first http mirror that this machine uses, as a line of
// sources.list, and its host.
func ownMirror(t *testing.T) (source, host string) {
	t.Helper()
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "main" {
			continue
		}
		u, err := url.Parse(f[0])
		if err != nil || u.Scheme != "http" {
			continue
		}
		return fmt.Sprintf("deb %s %s main", f[0], f[1]), u.Host
	}
	t.Fatal("this machine has no http mirror")
	return "", ""
}

// noUpstream fails every request: the cable is pulled.
type noUpstream struct{ t *testing.T }

// RoundTrip implements http.RoundTripper.
func (n noUpstream) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("asked upstream for %s", r.URL)
	return nil, errors.New("no upstream")
}

func TestAptDownloadsAgainWithTheUpstreamSwitchedOff(t *testing.T) {
	requireTools(t, "apt-get")
	source, host := ownMirror(t)
	dir := t.TempDir()
	var first, firstFetched = "", int64(0)
	t.Run("online", func(t *testing.T) {
		c, proxy := startCache(t, pkgcache.Options{Dir: dir, Hosts: []string{host}})
		apt := newApt(t, proxy, source)
		apt.mustRun("update")
		apt.mustRun("download", "hello")
		first = apt.downloaded()
		apt.mustRun("update") // revalidates, or is fresh
		firstFetched = c.Stats().BytesFetched
		t.Logf("%+v", c.Stats())
	})
	if t.Failed() {
		return
	}
	t.Run("offline", func(t *testing.T) {
		c, proxy := startCache(t, pkgcache.Options{Dir: dir, Hosts: []string{host}, Offline: true, Transport: noUpstream{t}})
		apt := newApt(t, proxy, source)
		apt.mustRun("update")
		apt.mustRun("download", "hello")
		if got := apt.downloaded(); got != first {
			t.Errorf("another package: %s, first %s", got, first)
		}
		if out, err := apt.run("download", "sl"); err == nil || !strings.Contains(out, "504") {
			t.Errorf("what is not there: %v\n%s", err, out)
		}
		if s := c.Stats(); s.BytesFetched != 0 || s.BytesServed < firstFetched/2 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// flatRepository writes a repository of one package and returns its directory.
func flatRepository(t *testing.T) string {
	t.Helper()
	dir, tree := t.TempDir(), t.TempDir()
	control := "Package: tiny\nVersion: 1+b1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: tiny\n"
	if err := os.Mkdir(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(dir, "tiny_1+b1_all.deb")
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, deb).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	index := control + fmt.Sprintf("Filename: ./tiny_1+b1_all.deb\nSize: %d\nSHA256: %x\n", len(data), sha256.Sum256(data))
	if err := os.WriteFile(filepath.Join(dir, "Packages"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAptReachesAnHTTPSRepositoryByRemap(t *testing.T) {
	requireTools(t, "apt-get", "dpkg-deb")
	up := httptest.NewTLSServer(http.FileServer(http.Dir(flatRepository(t))))
	defer up.Close()
	host := up.Listener.Addr().String()
	c, proxy := startCache(t, pkgcache.Options{Dir: t.TempDir(), Hosts: []string{host}, Transport: up.Client().Transport})
	source := "deb [trusted=yes] http://HTTPS///" + host + "/ ./"
	for range 2 {
		apt := newApt(t, proxy, source)
		apt.mustRun("update")
		apt.mustRun("download", "tiny")
		apt.downloaded()
	}
	if s := c.Stats(); s.Hits < 2 || s.Refused != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAptResumesThroughTheCache(t *testing.T) {
	requireTools(t, "apt-get", "dpkg-deb")
	up := httptest.NewServer(http.FileServer(http.Dir(flatRepository(t))))
	defer up.Close()
	host := up.Listener.Addr().String()
	var ranges []string
	c, err := pkgcache.New(pkgcache.Options{Dir: t.TempDir(), Hosts: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("Range"); v != "" && strings.HasSuffix(r.URL.Path, ".deb") {
			ranges = append(ranges, v)
		}
		c.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	apt := newApt(t, proxy.URL, "deb [trusted=yes] http://"+host+"/ ./")
	apt.mustRun("update")
	apt.mustRun("-y", "--download-only", "install", "tiny")
	archive := filepath.Join(apt.dir, "cache/archives/tiny_1+b1_all.deb")
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(archive)
	if err != nil {
		t.Fatal(err)
	}
	// What an interrupted apt leaves: part of the file, with its date.
	partial := filepath.Join(apt.dir, "cache/archives/partial/tiny_1+b1_all.deb")
	if err := errors.Join(os.Remove(archive), os.WriteFile(partial, whole[:100], 0o644),
		os.Chtimes(partial, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	apt.mustRun("-y", "--download-only", "install", "tiny")
	if got, err := os.ReadFile(archive); err != nil || string(got) != string(whole) {
		t.Errorf("resumed file differs: %v", err)
	}
	if !slices.Contains(ranges, "bytes=100-") {
		t.Errorf("apt asked for ranges %q", ranges)
	}
}

// rpmRepository makes a repository of one package with createrepo_c.
func rpmRepository(t *testing.T) string {
	t.Helper()
	dir, spec := t.TempDir(), filepath.Join(t.TempDir(), "tiny.spec")
	text := "Name: tiny\nVersion: 1\nRelease: 1\nSummary: tiny\nLicense: none\nBuildArch: noarch\n%description\ntiny\n%files\n"
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"rpmbuild", "-bb", "--define", "_rpmdir " + dir, "--define", "_topdir " + t.TempDir(), spec},
		{"createrepo_c", dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return dir
}

func TestDnfDownloadsThroughTheCache(t *testing.T) {
	requireTools(t, "dnf", "rpmbuild", "createrepo_c")
	up := httptest.NewServer(http.FileServer(http.Dir(rpmRepository(t))))
	defer up.Close()
	dir := t.TempDir()
	download := func(t *testing.T, offline bool) pkgcache.Stats {
		c, proxy := startCache(t, pkgcache.Options{Dir: dir, Hosts: []string{up.Listener.Addr().String()}, Offline: offline})
		root := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "dnf", "-y", "--installroot="+root, "--releasever=1", "--repo=t",
			"--repofrompath=t,"+up.URL+"/", "--nogpgcheck", "--setopt=proxy="+proxy, "--setopt=cachedir="+root+"/cache",
			"--setopt=reposdir="+root, "--downloadonly", "install", "tiny")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + root}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dnf: %v\n%s", err, out)
		}
		return c.Stats()
	}
	t.Run("online", func(t *testing.T) {
		if s := download(t, false); s.Misses < 3 || s.Objects < 3 {
			t.Errorf("stats: %+v", s)
		}
	})
	up.Close()
	t.Run("with the upstream gone", func(t *testing.T) {
		if s := download(t, true); s.Hits < 3 || s.Misses != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}
