package secret

import (
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
)

// Seal returns a writer that encrypts to the identity, which is made if it may be
// and is not there. Closing it completes the encryption, and not w.
func (i Identity) Seal(w io.Writer, now time.Time) (io.WriteCloser, error) {
	ids, err := i.ensure(now)
	if err != nil {
		return nil, err
	}
	to, err := recipient(ids)
	if err != nil {
		return nil, i.wrap(err)
	}
	return age.Encrypt(w, to)
}

// Unseal returns a reader of what was sealed to the identity. What was changed or
// cut off is an error of its Read, before any of the changed bytes are returned.
func (i Identity) Unseal(r io.Reader) (io.Reader, error) {
	ids, err := i.load()
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(r, ids...)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return nil, fmt.Errorf("it is encrypted to another key than those in %s; name the one it was made with: --identity FILE", i.Path)
	}
	if err != nil {
		return nil, errors.New("it is not encrypted by age, or damaged")
	}
	return plain, nil
}
