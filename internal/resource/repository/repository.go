// Package repository is the resource kind repository: a package repository with
// its signing key, for apt (deb822 .sources) or dnf (.repo).
//
// The key is trusted for this repository alone. Fetching the new package lists
// is left to the packages that need them: they see that the sources are newer.
package repository

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// Resource is a package repository.
type Resource struct {
	Name          string   `json:"name" required:"true" doc:"Name of the repository: small letters, digits, _ and -."`
	URIs          []string `json:"uris" required:"true" doc:"Where the repository is: http, https or file. With dnf these are base URLs."`
	Suites        []string `json:"suites,omitempty" doc:"apt: suites such as trixie, or a path that ends in / for a flat repository. Required with apt."`
	Components    []string `json:"components,omitempty" doc:"apt: components such as main. None for a flat repository."`
	Architectures []string `json:"architectures,omitempty" doc:"apt: architectures such as amd64; the host's own when left out."`
	SigningKey    string   `json:"key,omitempty" doc:"Public OpenPGP key that signs the repository, ASCII-armoured, or binary in base64."`
	Trusted       bool     `json:"trusted,omitempty" doc:"Take packages without any signature. Only for a repository on a network that nobody else can write to."`
	Disabled      bool     `json:"disabled,omitempty" doc:"Keep the repository, but do not use it."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "repository",
		Doc:  "A package repository with the key that signs it (apt or dnf). The key is trusted for this repository only.",
		New:  func() resource.Resource { return &Resource{} },
		Example: "name: backports\nuris: [http://mirror.example.org/debian]\nsuites: [trixie-backports]\ncomponents: [main]\n" +
			"key: |\n  -----BEGIN PGP PUBLIC KEY BLOCK-----\n\n  mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS/xcRfwEQWzr\n" +
			"  crf6AEo=\n  -----END PGP PUBLIC KEY BLOCK-----\n",
	}
}

// Kind returns "repository".
func (*Resource) Kind() string { return "repository" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Removal keeps the name.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

// signingKey returns the key as it is written to a file.
func (r *Resource) signingKey() (data []byte, armoured bool, err error) {
	text := strings.TrimSpace(r.SigningKey)
	if strings.HasPrefix(text, armourBegin) {
		if !strings.HasSuffix(text, armourEnd) {
			return nil, false, errors.New("its last line is not " + armourEnd)
		}
		return []byte(text + "\n"), true, nil
	}
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, false, errors.New("it is a private key")
	}
	data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	// The first byte of a packet has its high bit set; tag 6 is a public key (RFC 9580, 4.2).
	if err != nil || len(data) == 0 || data[0]&0x80 == 0 {
		return nil, false, errors.New("it is neither armoured nor a binary key in base64")
	}
	return data, false, nil
}

const (
	armourBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	armourEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

var (
	nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	wordRE = regexp.MustCompile(`^[A-Za-z0-9./_][A-Za-z0-9./_+~:-]*$`)
)

// Validate checks what goes into the files.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	if !nameRE.MatchString(r.Name) {
		fault("name", "use small letters, digits, _ and -", "%q is not a name for a repository", r.Name)
	}
	if len(r.URIs) == 0 {
		fault("uris", "give at least one", "there is no URI")
	}
	for _, s := range r.URIs {
		u, err := url.Parse(s)
		if err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) || strings.ContainsAny(s, " \t\n$") {
			fault("uris", "write it like https://example.org/debian", "%q is not a URI of a repository", s)
		} else if u.User != nil {
			fault("uris", "put it into /etc/apt/auth.conf.d, as a sensitive file", "the URI holds a password or user name")
		}
	}
	for field, words := range map[string][]string{"suites": r.Suites, "components": r.Components, "architectures": r.Architectures} {
		for _, w := range words {
			if !wordRE.MatchString(w) {
				fault(field, "use letters, digits and ./_+~:-", "%q is not a word", w)
			}
		}
	}
	r.validateKey(fault)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (r *Resource) validateKey(fault func(field, mend, format string, args ...any)) {
	switch {
	case r.SigningKey == "" && !r.Trusted:
		fault("key", "paste the public key, or say trusted: true", "nothing says how packages are verified")
	case r.SigningKey != "" && r.Trusted:
		fault("trusted", "leave one of them out", "with a key, the repository need not be trusted blindly")
	case r.SigningKey != "":
		if _, _, err := r.signingKey(); err != nil {
			fault("key", "use the output of gpg --armor --export", "this is not a public key: %v", err)
		}
	}
}

// files are the repository's files for the host's package manager, the key first.
func (r *Resource) files(h resource.Host) ([]conffile.File, error) {
	dnf, err := usesDnf(h)
	if err != nil {
		return nil, err
	}
	if !dnf && len(r.Suites) == 0 {
		return nil, fmt.Errorf("cannot add repository %s: this host uses apt, and no suites are given", r.Name)
	}
	var out []conffile.File
	keyPath := ""
	if r.SigningKey != "" {
		data, armoured, err := r.signingKey()
		if err != nil {
			return nil, err
		}
		keyPath = r.keyPaths(dnf)[0]
		if !armoured {
			keyPath = r.keyPaths(dnf)[1]
		}
		out = append(out, conffile.File{Path: keyPath, Text: string(data), Secret: true})
	}
	text := r.Deb822(keyPath)
	if dnf {
		text = r.Repo(keyPath)
	}
	return append(out, conffile.File{Path: r.path(dnf), Text: text}), nil
}

// usesDnf tells by the directories which package manager the host has.
func usesDnf(h resource.Host) (bool, error) {
	apt, err := conffile.Exists(h, "/etc/apt")
	if apt || err != nil {
		return false, err
	}
	dnf, err := conffile.Exists(h, "/etc/yum.repos.d")
	if err == nil && !dnf {
		err = errors.New("cannot manage repositories: this host has neither apt nor dnf")
	}
	return dnf, err
}

func (r *Resource) path(dnf bool) string {
	if dnf {
		return "/etc/yum.repos.d/updraft-" + r.Name + ".repo"
	}
	return "/etc/apt/sources.list.d/updraft-" + r.Name + ".sources"
}

// keyPaths are the places of an armoured and of a binary key. apt tells them
// apart by the suffix.
func (r *Resource) keyPaths(dnf bool) [2]string {
	if dnf {
		p := "/etc/pki/rpm-gpg/RPM-GPG-KEY-updraft-" + r.Name
		return [2]string{p, p}
	}
	p := "/etc/apt/keyrings/updraft-" + r.Name
	return [2]string{p + ".asc", p + ".gpg"}
}

// Deb822 renders the source for apt (sources.list(5)).
func (r *Resource) Deb822(keyPath string) string {
	var b strings.Builder
	b.WriteString(conffile.Header)
	set := func(name string, words ...string) {
		if value := strings.Join(words, " "); value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	set("Types", "deb")
	set("URIs", r.URIs...)
	set("Suites", r.Suites...)
	set("Components", r.Components...)
	set("Architectures", r.Architectures...)
	set("Signed-By", keyPath)
	if r.Trusted {
		set("Trusted", "yes")
	}
	if r.Disabled {
		set("Enabled", "no")
	}
	return b.String()
}

// Repo renders the repository for dnf (dnf.conf(5)).
func (r *Resource) Repo(keyPath string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s[updraft-%s]\nname=%s\nbaseurl=%s\nenabled=%d\n", conffile.Header, r.Name, r.Name, strings.Join(r.URIs, " "), number(!r.Disabled))
	fmt.Fprintf(&b, "gpgcheck=%d\n", number(keyPath != ""))
	if keyPath != "" {
		fmt.Fprintf(&b, "gpgkey=file://%s\n", keyPath)
	}
	return b.String()
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stale are files of an earlier shape of the repository: another kind of key, or none.
func (r *Resource) stale(h resource.Host, wanted []conffile.File) ([]string, error) {
	dnf, err := usesDnf(h)
	if err != nil {
		return nil, err
	}
	var out []string
	paths := r.keyPaths(dnf)
	for _, p := range slices.Compact(paths[:]) {
		there, err := conffile.Exists(h, p)
		if err != nil {
			return nil, err
		}
		if there && !slices.ContainsFunc(wanted, func(f conffile.File) bool { return f.Path == p }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Observe compares the files.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	files, err := r.files(h)
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	found := false
	for i, f := range files {
		attr := "key"
		if i == len(files)-1 {
			attr = "source"
		}
		there, err := f.Compare(h, &b, attr)
		if err != nil {
			return drift.Report{}, err
		}
		found = found || there
	}
	left, err := r.stale(h, files)
	for _, p := range left {
		b.Add(drift.Change{Attr: "key", From: p, To: "absent"})
	}
	if !found && len(left) == 0 {
		return drift.Missing(), err
	}
	return b.Report(), err
}

// Apply writes the key, then the source.
func (r *Resource) Apply(_ context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	files, err := r.files(h)
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := f.Write(h); err != nil {
			return err
		}
	}
	left, err := r.stale(h, files)
	if err != nil {
		return err
	}
	_, err = conffile.Remove(h, left...)
	return err
}

// Remove removes the source, then the key.
func (r *Resource) Remove(_ context.Context, h resource.Host, _ bool) error {
	dnf, err := usesDnf(h)
	if err != nil {
		return err
	}
	keys := r.keyPaths(dnf)
	_, err = conffile.Remove(h, r.path(dnf), keys[0], keys[1])
	return err
}
