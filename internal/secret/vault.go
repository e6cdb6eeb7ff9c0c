package secret

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// vault holds secrets in memory and makes those that are missing.
type vault struct {
	cloud string
	now   func() time.Time
	mint  mint

	mu      sync.Mutex
	entries map[string]*entry
	asked   map[string][]string // the names that certificates were asked for with
	ended   []Renewal           // what was replaced for its age
	dirty   bool
	err     error // the first fault
}

// Info describes a secret without its value.
type Info struct {
	Name       string    `json:"name"`
	Kind       Kind      `json:"kind"`
	Generation int       `json:"generation"`
	Created    time.Time `json:"created"`
	SANs       []string  `json:"sans,omitempty"`
	// Expires is when a certificate or the authority ends.
	Expires time.Time `json:"expires,omitzero"`
}

// List returns what there is, in the order of names.
func (v *vault) List() []Info {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make([]Info, 0, len(v.entries))
	for _, e := range v.entries {
		out = append(out, e.info())
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Renewal is a certificate, or the authority, that is replaced because its end is
// near.
type Renewal struct {
	Name string
	Ends time.Time
}

// Renewals implements [Source].
func (v *vault) Renewals() []Renewal {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := slices.Clone(v.ended)
	slices.SortFunc(out, func(a, b Renewal) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Err implements [Source].
func (v *vault) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Password implements [Source].
func (v *vault) Password(name string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.get(name, KindPassword, func(e *entry) error {
		e.Text = v.mint.password(name)
		return nil
	}).Text
}

// Bytes implements [Source].
func (v *vault) Bytes(name string, n int) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n <= 0 {
		v.fail(name, "%d bytes are asked for", n)
		return nil
	}
	e := v.get(name, KindBytes, func(e *entry) error {
		e.Raw = v.mint.bytes(name, n)
		return nil
	})
	if len(e.Raw) != n {
		v.fail(name, "it has %d bytes, and %d are asked for", len(e.Raw), n)
	}
	return slices.Clone(e.Raw)
}

// FernetKeys implements [Source].
func (v *vault) FernetKeys(name string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.get(name, KindFernet, func(e *entry) error {
		for i := range fernetKeys {
			e.Keys = append(e.Keys, v.mint.fernetKey(fmt.Sprint(name, " ", i)))
		}
		return nil
	})
	return slices.Clone(e.Keys)
}

// SSHKey implements [Source].
func (v *vault) SSHKey(name string) (private, public string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.get(name, KindSSH, func(e *entry) (err error) {
		e.Key, e.Public, err = v.mint.sshKey(name)
		return err
	})
	return e.Key, e.Public
}

// CA implements [Source].
func (v *vault) CA() pki.Authority {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ca()
}

// Certificate implements [Source].
func (v *vault) Certificate(name string, sans ...string) (cert, key string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sans = slices.Compact(slices.Sorted(slices.Values(sans)))
	if before, ok := v.asked[name]; ok && !slices.Equal(before, sans) {
		// Each would undo the other, in every run.
		v.fail(name, "it is asked for %q and for %q", before, sans)
		return "", ""
	}
	v.asked[name] = sans
	ca := v.ca()
	issue := func(e *entry) (err error) {
		e.SANs = sans
		e.Public, e.Key, err = v.mint.certificate(ca, name, sans, v.now())
		return err
	}
	e := v.get(name, KindCertificate, issue)
	if v.err == nil && !ca.Fresh(e.Public, sans, v.now()) && !IsPlaceholder(e.Public) {
		if end, near := pki.NearEnd(e.Public, v.now()); near {
			v.ended = append(v.ended, Renewal{Name: name, Ends: end})
		}
		e = v.renew(e, issue)
	}
	return e.Public, e.Key
}

// get returns the secret, which is made if there is none. It never returns nil.
func (v *vault) get(name string, kind Kind, fill func(*entry) error) *entry {
	e, ok := v.entries[name]
	switch {
	case ok && e.Kind == kind:
		return e
	case ok:
		v.fail(name, "it is of kind %s, and kind %s is asked for", e.Kind, kind)
	case len(name) > maxName || !validName.MatchString(name):
		v.fail(name, "its name must be words of a–z and 0–9 joined by one of / . _ -")
	case (name == CAName) != (kind == KindCA):
		v.fail(name, "this name is the certificate authority's")
	default:
		return v.renew(&entry{Name: name, Kind: kind}, fill)
	}
	return &entry{Name: name, Kind: kind}
}

// renew puts a new generation in place of old, unless it cannot be made.
func (v *vault) renew(old *entry, fill func(*entry) error) *entry {
	e := *old
	e.Generation++
	e.Created = v.now().UTC().Truncate(time.Second)
	if err := fill(&e); err != nil {
		v.fail(e.Name, "%w", err)
		return old
	}
	v.entries[e.Name] = &e
	v.dirty = true
	return &e
}

// fail keeps the first fault.
func (v *vault) fail(name, format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf("cannot give the secret %q: %w", name, fmt.Errorf(format, args...))
	}
}

// rotateCertificates issues all certificates anew.
func (v *vault) rotateCertificates() error {
	for _, name := range slices.Sorted(maps.Keys(v.entries)) {
		if e := v.entries[name]; e.Kind == KindCertificate && v.err == nil {
			v.renew(e, v.refill(e))
		}
	}
	return v.err
}

func (v *vault) unknown(name string) error {
	return fmt.Errorf("there is no such secret as %q; known are %q", name, slices.Sorted(maps.Keys(v.entries)))
}

// rotate puts a new generation in place of a secret's present one.
func (v *vault) rotate(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if name == AllCertificates {
		return v.rotateCertificates()
	}
	old, ok := v.entries[name]
	if !ok {
		return fmt.Errorf("cannot rotate: %w", v.unknown(name))
	}
	if v.err != nil {
		return v.err
	}
	v.renew(old, v.refill(old))
	return v.err
}

// refill returns what makes the next generation of a secret.
func (v *vault) refill(old *entry) func(*entry) error {
	return func(e *entry) (err error) {
		switch old.Kind {
		case KindPassword:
			e.Text = v.mint.password(e.Name)
		case KindBytes:
			e.Raw = v.mint.bytes(e.Name, len(old.Raw))
		case KindFernet:
			e.Keys = v.nextFernet(e.Name, old.Keys)
		case KindSSH:
			e.Key, e.Public, err = v.mint.sshKey(e.Name)
		case KindCA:
			err = v.nextCA(e)
		case KindCertificate:
			e.Public, e.Key, err = v.mint.certificate(v.ca(), e.Name, old.SANs, v.now())
		}
		return err
	}
}

// nextFernet does what keystone-manage fernet_rotate does: the staged key
// becomes the primary one, which all nodes can decrypt with already, the old
// primary stays for what it encrypted, and a new key is staged.
func (v *vault) nextFernet(name string, keys []string) []string {
	last := len(keys) - 1
	next := append([]string{v.mint.fernetKey(name)}, keys[2:]...)
	return append(next, keys[0])[:last+1]
}
