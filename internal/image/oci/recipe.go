package oci

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// revision changes when the way of building does, and with it all references.
const revision = "3"

// Recipe says what an image is made of.
type Recipe struct {
	// Name is the last part of the reference, such as openstack.
	Name string `json:"name"`
	// Suite is the distribution's, such as trixie.
	Suite string `json:"suite"`
	// Packages are installed with what they depend on, and nothing recommended.
	Packages []string `json:"packages"`
	// Provides are virtual packages that count as installed, where all real ones
	// would draw in what is not wanted.
	Provides []string `json:"provides,omitempty"`
	// Users are those that the image has beside the ones of every image.
	Users []string `json:"users,omitempty"`
	// Excludes are paths that are not unpacked, as patterns of dpkg(1).
	Excludes []string `json:"excludes,omitempty"`
}

// tagLength is in hexadecimal digits.
const tagLength = 16

// Digest names everything that the image is made of, in hexadecimal. The order
// of packages does not matter.
func (r Recipe) Digest() string {
	h := sha256.New()
	for _, part := range []struct {
		key    string
		values []string
	}{
		{"revision", []string{revision}},
		{"suite", []string{r.Suite}},
		{"packages", sorted(r.Packages)},
		{"provides", sorted(r.Provides)},
		{"excludes", sorted(r.Excludes)},
		{"always", append(slices.Clone(excludes), unwanted()...)},
		{"users", []string{passwd()}},
		{"hooks", []string{setupHook, extractHook, essentialHook, customizeHook, py3compileStub, pythonTLS}},
	} {
		fmt.Fprintf(h, "%s %q\n", part.key, part.values)
	}
	if more := usersOf(r.Users)[len(users()):]; len(more) > 0 {
		fmt.Fprintf(h, "more users %q\n", accounts(more)[0].lines)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

// Tag returns the image's tag.
func (r Recipe) Tag() string { return r.Digest()[:tagLength] }

// Ref returns the image's reference where it was built, or as the registry at
// HOST:PORT has it.
func (r Recipe) Ref(registry string) string {
	if registry == "" {
		return LocalPrefix + r.Name + ":" + r.Tag()
	}
	return registry + "/updraft/" + r.Name + ":" + r.Tag()
}

// LocalPrefix begins the references of images that no registry has.
const LocalPrefix = "localhost/updraft/"

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)
	packagePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+:~-]+)?$`)
	excludePattern = regexp.MustCompile(`^/[A-Za-z0-9_.*+/-]+$`)
)

// Check returns everything about the recipe that cannot be built.
func (r Recipe) Check() error {
	var errs []error
	check := func(p *regexp.Regexp, what string, values ...string) {
		for _, v := range values {
			if !p.MatchString(v) {
				errs = append(errs, fmt.Errorf("cannot build image %s: %q is no %s", cmp.Or(r.Name, "without a name"), v, what))
			}
		}
	}
	check(namePattern, "name of an image", r.Name)
	check(namePattern, "name of a suite", r.Suite)
	check(packagePattern, "name of a package", r.Packages...)
	check(packagePattern, "name of a package", r.Provides...)
	check(excludePattern, "path to leave out", r.Excludes...)
	for _, name := range r.Users {
		if !slices.ContainsFunc(more(), func(u user) bool { return u.name == name }) {
			errs = append(errs, fmt.Errorf("cannot build image %s: there is no further user %q", cmp.Or(r.Name, "without a name"), name))
		}
	}
	if len(r.Packages) == 0 {
		errs = append(errs, fmt.Errorf("cannot build image %s: it has no packages", r.Name))
	}
	return errors.Join(errs...)
}

// String returns NAME:TAG.
func (r Recipe) String() string { return strings.TrimPrefix(r.Ref(""), LocalPrefix) }
