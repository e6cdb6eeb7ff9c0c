package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Keypair is a public key that a user's servers let in.
type Keypair struct {
	Name      string `json:"name" required:"true" doc:"Name of the key pair."`
	User      string `json:"user,omitempty" default:"admin" doc:"User to whom it belongs."`
	PublicKey string `json:"public_key" required:"true" doc:"Public key in OpenSSH's form: ssh-ed25519 AAAA…"`
}

func keypairKind() Kind {
	return Kind{
		"keypair", "A public SSH key of a user. One that differs is replaced; servers keep the key that they were made with.",
		"name: ops\npublic_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Qo7aZ6kqJ5cU1m1n3n0b0m8b6m1Q3v0qfJb5kU0qZ ops\n",
		func() Resource { return &Keypair{} },
	}
}

// Kind returns "keypair".
func (*Keypair) Kind() string { return "keypair" }

// Key returns user and name.
func (k *Keypair) Key() string { return inProject(k.User, k.Name) }

// Services returns "compute".
func (*Keypair) Services() []string { return []string{"compute"} }

// Needs returns the user.
func (k *Keypair) Needs() []string { return []string{"user:" + cmp.Or(k.User, "admin")} }

// Validate checks the declaration.
func (k *Keypair) Validate() error {
	errs := []error{validName("name", k.Name), validOptional("user", k.User)}
	if !validKey(k.PublicKey) {
		errs = append(errs, resource.Fieldf("public_key", "give one line as in a .pub file", "is no public key in OpenSSH's form"))
	}
	return errors.Join(errs...)
}

// validKey reports whether a line is a public key as sshd(8) describes it
// (AUTHORIZED_KEYS FILE FORMAT, without options): the type, and in base64 the
// key, which begins with its type (RFC 4253, 6.6).
func validKey(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 2 || strings.ContainsAny(strings.TrimSpace(line), "\r\n") {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	const length = 4
	return err == nil && len(blob) > length && int(binary.BigEndian.Uint32(blob)) == len(fields[0]) &&
		strings.HasPrefix(string(blob[length:]), fields[0])
}

func (k *Keypair) identity() Resource { return &Keypair{Name: k.Name, User: k.User} }

// collection is the list of the user's keys, whose elements are wrapped.
func (k *Keypair) collection(ctx context.Context, v *view) (c collection, user string, err error) {
	name := cmp.Or(k.User, "admin")
	if user, err = v.ref(ctx, users(), name, object{"name": name}); err != nil {
		return c, "", err
	}
	return collection{service: "compute", path: "os-keypairs", query: "user_id=" + url.QueryEscape(user), plural: "keypairs", single: "keypair"}, user, nil
}

func (k *Keypair) find(ctx context.Context, v *view) (got object, c collection, user string, err error) {
	if c, user, err = k.collection(ctx, v); err != nil {
		return nil, c, "", err
	}
	list, err := v.list(ctx, c)
	for _, o := range list {
		if inner, ok := o["keypair"].(map[string]any); ok && inner["name"] == k.Name {
			return inner, c, user, nil
		}
	}
	return nil, c, user, err
}

func (k *Keypair) observe(ctx context.Context, v *view) (drift.Report, error) {
	got, _, _, err := k.find(ctx, v)
	if err != nil {
		return drift.Report{}, err
	}
	if got == nil {
		return drift.Missing(), nil
	}
	var b drift.Builder
	b.Want("public_key", strings.TrimSpace(got.text("public_key")), strings.TrimSpace(k.PublicKey))
	return b.Report(), nil
}

func (k *Keypair) apply(ctx context.Context, v *view) error {
	got, c, user, err := k.find(ctx, v)
	if err != nil {
		return err
	}
	if got != nil && strings.TrimSpace(got.text("public_key")) == strings.TrimSpace(k.PublicKey) {
		return nil
	}
	defer v.forget(c)
	if got != nil {
		if err := k.remove(ctx, v); err != nil {
			return err
		}
	}
	return v.write(ctx, request{
		service: "compute", method: http.MethodPost, path: c.path, doing: "make key pair " + k.Name,
		body: map[string]any{"keypair": object{"name": k.Name, "public_key": k.PublicKey, "type": "ssh", "user_id": user}},
	})
}

func (k *Keypair) remove(ctx context.Context, v *view) error {
	got, c, user, err := k.find(ctx, v)
	if err != nil || got == nil {
		return err
	}
	defer v.forget(c)
	err = v.write(ctx, request{
		service: "compute", method: http.MethodDelete, doing: "remove key pair " + k.Name,
		path: c.path + "/" + escape(k.Name) + "?user_id=" + url.QueryEscape(user),
	})
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}
