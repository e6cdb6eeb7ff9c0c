package keyring

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

// Grace is how late a controller may be with a rotation. Its timer comes once an
// hour.
const Grace = 2 * time.Hour

// keySize is that of a Fernet key in bytes: 128 bits to sign, 128 to encrypt.
const keySize = 32

// Repository is one of Keystone's key repositories: the one of tokens, or that of
// credentials.
type Repository struct {
	// Name says what the keys are for. Keys of one name tell nothing about those of
	// another.
	Name string `json:"name"`
	// Dir is where the keys lie. It must exist.
	Dir string `json:"dir"`
	// Group may read the keys, beside root. It is a number.
	Group int `json:"group"`
	// Period is how long a key is the primary one, and Keep how long what it made
	// has to be readable after that, both in seconds.
	Period int64 `json:"period"`
	Keep   int64 `json:"keep"`
	// Masters are the master keys as Keystone orders a repository: the next one, at
	// index 0, then earlier ones, and last the one in use. They are Fernet keys.
	Masters []string `json:"masters"`
}

// Keys are what a repository holds at a time.
type Keys struct {
	// Primary is what Keystone encrypts with.
	Primary string
	// All are those that it decrypts with, the primary one among them.
	All []string
}

// Keys returns the repository's keys at a time.
func (r Repository) Keys(now time.Time) (Keys, error) {
	if r.Period <= 0 || r.Keep < 0 || len(r.Masters) == 0 {
		return Keys{}, fmt.Errorf("keys of %s: there must be a period and a master key", r.Name)
	}
	present := r.number(now)
	var keys Keys
	for i, text := range r.Masters {
		master, err := base64.URLEncoding.DecodeString(text)
		if err != nil || len(master) != keySize {
			return Keys{}, fmt.Errorf("keys of %s: master key %d is none", r.Name, i) // and is not quoted
		}
		for n := present - r.past(); n <= present+1; n++ {
			key, err := derive(master, r.Name, n)
			if err != nil {
				return Keys{}, err
			}
			keys.All = append(keys.All, key)
			if n == present {
				keys.Primary = key // the last master key's stays
			}
		}
	}
	return keys, nil
}

// Size returns how many files there are, at all times: the keys of the periods for
// each master key, and the primary one once more.
func (r Repository) Size() int { return len(r.Masters)*int(r.past()+2) + 1 }

// Rotates returns when the present primary key took over, and when the next will.
func (r Repository) Rotates(now time.Time) (last, next time.Time) {
	n := r.number(now)
	return time.Unix(n*r.Period, 0).UTC(), time.Unix((n+1)*r.Period, 0).UTC()
}

// number is that of the period, counted from 1970.
func (r Repository) number(now time.Time) int64 { return now.Unix() / r.Period }

// past is how many periods before the present one still count.
func (r Repository) past() int64 {
	keep := r.Keep + int64(Grace/time.Second)
	return (keep + r.Period - 1) / r.Period
}

// derive returns a period's key as a Fernet key. Master keys are random, so that
// there is nothing to extract.
func derive(master []byte, name string, n int64) (string, error) {
	key, err := hkdf.Expand(sha256.New, master, "updraft keyring "+name+" "+strconv.FormatInt(n, 10), keySize)
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(key), nil
}
