package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
)

// Identity is where the key lies that secrets are encrypted to: a file as
// age-keygen(1) writes it, mode 0600. Several keys may stand in it: secrets are
// encrypted to the first and read with any.
type Identity struct {
	Path string
	// Given means that the user named the file: it is never made.
	Given bool
}

// errNoIdentity means that the identity's file does not exist.
var errNoIdentity = errors.New("there is no such file")

// load reads the identity.
func (i Identity) load() ([]age.Identity, error) {
	info, err := os.Stat(i.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, i.wrap(errNoIdentity)
	}
	if err != nil {
		return nil, i.wrap(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, i.wrap(fmt.Errorf("others may read it (mode %04o): chmod 600 %s, and rotate the secrets if it was not you", info.Mode().Perm(), i.Path))
	}
	data, err := os.ReadFile(i.Path)
	if err != nil {
		return nil, i.wrap(err)
	}
	return i.parse(string(data))
}

func (i Identity) parse(text string) ([]age.Identity, error) {
	if strings.HasPrefix(text, "age-encryption.org/") || strings.HasPrefix(text, "-----BEGIN AGE ENCRYPTED FILE") {
		return nil, i.wrap(errors.New("it is encrypted itself; give one without a passphrase: age -d FILE"))
	}
	// The parser's errors may quote the key.
	ids, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(ids) == 0 {
		return nil, i.wrap(errors.New("it is not an age identity as age-keygen writes it; put it back from a backup"))
	}
	return ids, nil
}

func (i Identity) wrap(err error) error {
	return fmt.Errorf("cannot use the identity %s: %w", i.Path, err)
}

// ensure reads the identity, which is made if it may be and is not there.
func (i Identity) ensure(now time.Time) ([]age.Identity, error) {
	ids, err := i.load()
	if !errors.Is(err, errNoIdentity) || i.Given {
		return ids, err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, i.wrap(err)
	}
	text := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", now.UTC().Format(time.RFC3339), id.Recipient(), id)
	if err := create(i.Path, []byte(text)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, i.wrap(err)
	}
	return i.load() // another process may have been first
}

// create writes a file that must not exist. It appears whole or not at all.
func create(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // what is left is one more name of the same file
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recipient is what an identity's public half is encrypted to.
func recipient(ids []age.Identity) (age.Recipient, error) {
	switch id := ids[0].(type) {
	case *age.X25519Identity:
		return id.Recipient(), nil
	case *age.HybridIdentity:
		return id.Recipient(), nil
	}
	return nil, errors.New("its first key is of a kind that nothing can be encrypted to")
}
