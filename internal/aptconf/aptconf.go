// Package aptconf reads apt's own configuration of this computer: where its
// packages come from and through which proxy.
//
// What updraft builds from packages (root file systems, container images) comes
// from the repositories that this computer trusts already, so that no mirror
// has to be named anywhere. It only reads; the formats are those of
// sources.list(5) and apt.conf(5).
package aptconf

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// aptSource is one line or stanza of apt's sources (sources.list(5)).
type aptSource struct {
	uris       []string
	suites     []string
	components []string
	signedBy   string // path of a keyring, if the source names one
}

// Mirror is where the packages of a suite come from.
type Mirror struct {
	URI      string
	Security string // mirror of the security suite; may be empty
	Keyring  string // empty: apt's trusted keys
}

// FindMirror takes the mirror of the distribution from the apt configuration
// below etc (/etc/apt): the first source with component main and a suite that
// is, or belongs to, the wanted suite or the codename of this computer.
func FindMirror(etc, suite, codename string) (Mirror, error) {
	sources, err := readSources(etc)
	if err != nil {
		return Mirror{}, err
	}
	var m Mirror
	for _, s := range sources {
		uri := s.web()
		if uri == "" || !slices.Contains(s.components, "main") {
			continue
		}
		switch {
		case m.Security == "" && s.has(suite+"-security", codename+"-security"):
			m.Security = uri
		case m.URI == "" && s.has(suite, codename):
			m.URI, m.Keyring = uri, s.signedBy
		}
	}
	if m.URI == "" {
		return Mirror{}, fmt.Errorf("cannot find a mirror for %s in %s: name a mirror", suite, etc)
	}
	return m, nil
}

func (s aptSource) has(suites ...string) bool {
	return slices.ContainsFunc(suites, func(x string) bool { return slices.Contains(s.suites, x) })
}

// web returns the first URI that mmdebstrap and the hosts can use.
func (s aptSource) web() string {
	for _, raw := range s.uris {
		if u, err := url.Parse(raw); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			return strings.TrimRight(raw, "/")
		}
	}
	return ""
}

// readSources reads sources.list and sources.list.d/*.{list,sources}.
func readSources(etc string) ([]aptSource, error) {
	lists, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*.list"))
	stanzas, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*.sources"))
	var out []aptSource
	for _, path := range append(append([]string{filepath.Join(etc, "sources.list")}, lists...), stanzas...) {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read apt's sources: %w", err)
		}
		if strings.HasSuffix(path, ".sources") {
			out = append(out, parseStanzas(string(b))...)
		} else {
			out = append(out, parseLines(string(b))...)
		}
	}
	return out, nil
}

// parseLines reads the one-line style: deb [option=value …] uri suite component…
func parseLines(text string) []aptSource {
	var out []aptSource
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		var s aptSource
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, _ := strings.Cut(rest[1:], "]")
			rest = after
			for _, o := range strings.Fields(options) {
				if v, ok := strings.CutPrefix(strings.ToLower(o), "signed-by="); ok && strings.HasPrefix(v, "/") {
					s.signedBy = o[len("signed-by="):]
				}
			}
		}
		f := strings.Fields(rest)
		if len(f) < 3 {
			continue
		}
		s.uris, s.suites, s.components = f[:1], f[1:2], f[2:]
		out = append(out, s)
	}
	return out
}

// parseStanzas reads the deb822 style.
func parseStanzas(text string) []aptSource {
	var out []aptSource
	fields := map[string]string{}
	flush := func() {
		isDeb := slices.Contains(strings.Fields(fields["types"]), "deb")
		if isDeb && !slices.Contains([]string{"no", "false", "0"}, strings.ToLower(fields["enabled"])) {
			s := aptSource{
				uris:       strings.Fields(fields["uris"]),
				suites:     strings.Fields(fields["suites"]),
				components: strings.Fields(fields["components"]),
			}
			if k := fields["signed-by"]; strings.HasPrefix(k, "/") { // otherwise an embedded key
				s.signedBy = k
			}
			out = append(out, s)
		}
		clear(fields)
	}
	last := ""
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		line := sc.Text()
		switch {
		case strings.TrimSpace(line) == "":
			flush()
		case strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + strings.TrimSpace(line)
		default:
			k, v, _ := strings.Cut(line, ":")
			last = strings.ToLower(k)
			fields[last] = strings.TrimSpace(v)
		}
	}
	flush()
	return out
}

// Codename returns VERSION_CODENAME of os-release(5), or nothing.
func Codename() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// HostMirror returns this computer's own mirror, for a suite of its
// distribution, with the distribution's keyring unless the source names one.
func HostMirror(suite string) (Mirror, error) {
	m, err := FindMirror("/etc/apt", suite, Codename())
	m.Keyring = cmp.Or(m.Keyring, Keyring())
	return m, err
}

// Keyring returns the path of the distribution's keyring, or nothing where it
// is not installed.
func Keyring() string {
	const path = "/usr/share/keyrings/debian-archive-keyring.gpg"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Repositories returns all package repositories that this computer uses.
func Repositories() []string {
	sources, err := readSources("/etc/apt")
	if err != nil {
		return nil // not a Debian; the cloud file names its mirrors then
	}
	var out []string
	for _, s := range sources {
		if uri := s.web(); uri != "" && !slices.Contains(out, uri) {
			out = append(out, uri)
		}
	}
	return out
}

// Proxies returns this computer's proxy settings as apt.conf(5) lines.
func Proxies(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return nil // no apt: mirror and proxies come from the environment
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(line, " ")
		name = strings.ToLower(name)
		if (strings.HasPrefix(name, "acquire::http::") || strings.HasPrefix(name, "acquire::https::")) && strings.Contains(name, "proxy") {
			lines = append(lines, line)
		}
	}
	return lines
}
