package secret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/google/renameio/v2"
)

// Names of files.
const (
	// FileName is the file of a cloud's secrets, in its state directory.
	FileName = "secrets.age"
	// IdentityName is the file of the identity, in the state's root.
	IdentityName = "identity.age"
)

// maxFile bounds what is read. Some hundred secrets take about 100 kB.
const maxFile = 64 << 20

// ErrChanged means that another process saved secrets since they were read.
var ErrChanged = errors.New("another updraft has changed them since they were read; run the command again")

// Options say where secrets are and how time passes.
type Options struct {
	Cloud    string // its name, for the certificate authority's
	Dir      string // the cloud's state directory
	Identity Identity
	Now      func() time.Time // time.Now if nil
}

// Store is a cloud's secrets. It may be used by several goroutines at once.
type Store struct {
	*vault
	opts Options
	read [sha256.Size]byte // the file's hash when it was read or written; zero: there was none
}

// Open reads a cloud's secrets. It writes nothing: a cloud without secrets gets
// its file, and the state its identity, when Save has something to save.
func Open(opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{opts: opts, vault: &vault{
		cloud: opts.Cloud, now: opts.Now, mint: random{}, entries: map[string]*entry{}, asked: map[string][]string{},
	}}
	data, err := s.readFile()
	if err != nil {
		return nil, err
	}
	if data == nil {
		return s, nil
	}
	if s.entries, err = s.decrypt(data); err != nil {
		return nil, fmt.Errorf("cannot read the secrets in %s: %w", s.path(), err)
	}
	s.read = sha256.Sum256(data)
	return s, nil
}

// Dirty reports whether there are secrets that are not saved.
func (s *Store) Dirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty
}

// Rotate puts a new value in place of a secret's present one. Its kind, and the
// names that a certificate is for, stay. Nothing is saved yet.
func (s *Store) Rotate(name string) error { return s.rotate(name) }

// Save writes what is new, durably. It must be called under the cloud's lock and
// before any of the secrets goes anywhere. It fails with [ErrChanged] when
// another process has saved since, also if there is nothing to write: the
// secrets in hand are then not those of the cloud. It refuses after any fault.
func (s *Store) Save(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if err := s.save(ctx); err != nil {
		return fmt.Errorf("cannot save the secrets of %s: %w", s.opts.Cloud, err)
	}
	s.dirty = false
	return nil
}

func (s *Store) save(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := s.readFile()
	if err != nil {
		return err
	}
	if (data == nil) != (s.read == [sha256.Size]byte{}) || data != nil && sha256.Sum256(data) != s.read {
		return ErrChanged
	}
	if !s.dirty {
		return nil
	}
	sealed, err := s.encrypt()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return err
	}
	if err := renameio.WriteFile(s.path(), sealed, 0o600, renameio.IgnoreUmask()); err != nil {
		return err
	}
	s.read = sha256.Sum256(sealed)
	return syncDir(s.opts.Dir)
}

func (s *Store) path() string { return filepath.Join(s.opts.Dir, FileName) }

// readFile returns the encrypted file, or nil if there is none.
func (s *Store) readFile() ([]byte, error) {
	f, err := os.Open(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the secrets: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the secrets: %w", err)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// errDamaged stands for what age says of a file that was cut off or changed.
var errDamaged = errors.New("the file is damaged; put it back from a backup (updraft leaves it as it is)")

func (s *Store) decrypt(data []byte) (map[string]*entry, error) {
	ids, err := s.opts.Identity.load()
	if errors.Is(err, errNoIdentity) {
		return nil, fmt.Errorf("they are encrypted, and %w; put it back from a backup or name another identity", err)
	}
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(data), ids...)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return nil, fmt.Errorf("they are encrypted to another key than those in %s; add the one they were made with to it", s.opts.Identity.Path)
	}
	if err != nil {
		return nil, errDamaged
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, errDamaged
	}
	return decode(plain)
}

func (s *Store) encrypt() ([]byte, error) {
	plain, err := encode(s.entries)
	if err != nil {
		return nil, err
	}
	ids, err := s.opts.Identity.ensure(s.opts.Now())
	if err != nil {
		return nil, err
	}
	to, err := recipient(ids)
	if err != nil {
		return nil, s.opts.Identity.wrap(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// Planned answers for a plan. It is of its own type, so that what applies a
// plan can ask for a [Store] and never meets a placeholder.
type Planned struct{ *vault }

// Plan reads a cloud's secrets for a plan. Secrets that do not exist yet, and
// certificates that must be issued anew, are placeholders, the same in every
// plan. Nothing is written, now or later.
func Plan(opts Options) (*Planned, error) {
	s, err := Open(opts)
	if err != nil {
		return nil, err
	}
	s.mint = stand{}
	return &Planned{s.vault}, nil
}
