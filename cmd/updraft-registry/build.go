package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/registry"
)

// build builds the image of the recipe on the standard input and pushes it. Then
// the registry has it, and only the log and the list of its packages are kept here.
func build(ctx context.Context, args []string) error {
	b, to := oci.Builder{}, oci.Registry{User: registry.User}
	var ca, password string
	f := flag.NewFlagSet("build", flag.ContinueOnError)
	f.StringVar(&b.Dir, "dir", "", "directory to build in")
	f.StringVar(&to.Host, "registry", "", "where to push to, as HOST:PORT")
	f.StringVar(&ca, "ca", "", "file with the authority of the registry's certificate, PEM")
	f.StringVar(&password, "password-file", "", "file with the password of who pushes")
	if err := f.Parse(args); err != nil {
		return err
	}
	if b.Dir == "" || to.Host == "" || ca == "" || password == "" || f.NArg() > 0 {
		return errors.New("build needs -dir, -registry, -ca and -password-file, and takes no arguments")
	}
	var err error
	if to.CA, err = text(ca); err != nil {
		return err
	}
	if to.Password, err = text(password); err != nil {
		return err
	}
	dec := json.NewDecoder(os.Stdin)
	dec.DisallowUnknownFields()
	var r oci.Recipe
	if err := dec.Decode(&r); err != nil {
		return fmt.Errorf("cannot read the recipe: %w", err)
	}
	log := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	if err := b.Ensure(ctx, r, log); err != nil {
		return err
	}
	if err := b.Push(ctx, to, r.Ref(""), log); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(b.Store()), os.RemoveAll(b.LayoutDir()))
}

// text returns what is in a file, without the newline at its end.
func text(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}
