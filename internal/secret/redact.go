package secret

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Redactor finds secrets in text: plain, as base64 in any alignment and either
// alphabet, as hexadecimal digits, and escaped for URLs, also when line breaks
// cut them. Of keys it looks for the private number itself, so that the public
// half, which certificates hold too, is not taken for a secret.
//
// Hashes and encryptions of secrets are not found.
type Redactor struct {
	needles []needle
	byHead  map[uint64][]needle // by their first eight bytes
	replace *strings.Replacer
}

type needle struct {
	secret, form string
	value        []byte
}

// Hit is a secret that was found.
type Hit struct {
	Secret string `json:"secret"` // its name
	Form   string `json:"form"`   // how it was written, such as "base64"
}

// minNeedle is the length in bytes from which on a value does not occur in
// other text by chance. It is also that of a head.
const minNeedle = 8

// Redactor returns a finder of the secrets that there are now.
func (v *vault) Redactor() *Redactor {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &Redactor{byHead: map[uint64][]needle{}}
	for _, name := range slices.Sorted(maps.Keys(v.entries)) {
		for _, value := range v.entries[name].values() {
			r.add(name, value)
		}
		for _, number := range v.entries[name].numbers() {
			r.add(name, number)
		}
	}
	r.replace = strings.NewReplacer(r.pairs()...)
	return r
}

// Hide adds values that are not among the cloud's secrets, such as those that its
// file holds. What is shorter than eight bytes is not looked for.
func (r *Redactor) Hide(name string, values ...[]byte) {
	if len(values) == 0 {
		return
	}
	for _, v := range values {
		r.add(name, v)
	}
	r.replace = strings.NewReplacer(r.pairs()...)
}

// pairs lists what to replace by what, the longest first, as a Replacer takes
// the first that fits.
func (r *Redactor) pairs() []string {
	sorted := slices.SortedStableFunc(slices.Values(r.needles), func(a, b needle) int {
		return cmp.Compare(len(b.value), len(a.value))
	})
	var out []string
	for _, n := range sorted {
		out = append(out, string(n.value), "[secret "+n.secret+"]")
	}
	return out
}

// add takes in all forms of a value.
func (r *Redactor) add(name string, value []byte) {
	form := func(form string, value []byte) {
		if len(value) < minNeedle {
			return
		}
		n, head := needle{name, form, value}, binary.BigEndian.Uint64(value)
		same := func(o needle) bool { return o.secret == name && bytes.Equal(o.value, value) }
		if slices.ContainsFunc(r.byHead[head], same) {
			return // most forms of most values are those values
		}
		r.needles, r.byHead[head] = append(r.needles, n), append(r.byHead[head], n)
	}
	form("plain", value)
	if len(value) < minNeedle {
		return
	}
	form("hex", []byte(hex.EncodeToString(value)))
	form("hex", bytes.ToUpper([]byte(hex.EncodeToString(value))))
	form("url", []byte(url.QueryEscape(string(value))))
	form("url", []byte(url.PathEscape(string(value))))
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encodedAt(enc, value, shift)
			form("base64", []byte(text))
			form("base64 in url", []byte(url.QueryEscape(text)))
		}
	}
}

// encodedAt returns those characters of the base64 encoding that follow from
// the value alone when it comes after shift other bytes (modulo 3).
func encodedAt(enc *base64.Encoding, value []byte, shift int) string {
	text := enc.EncodeToString(append(make([]byte, shift), value...))
	const bits, perChar = 8, 6
	from := (shift*bits + perChar - 1) / perChar
	return text[from : (shift+len(value))*bits/perChar]
}

// Find returns which secrets a text holds, each once for each form. It reads the
// text twice, however many secrets there are.
func (r *Redactor) Find(text []byte) []Hit {
	found := map[Hit]bool{}
	r.find(text, found)
	r.find(squeeze(text), found)
	return slices.SortedFunc(maps.Keys(found), func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Secret, b.Secret), cmp.Compare(a.Form, b.Form))
	})
}

func (r *Redactor) find(text []byte, found map[Hit]bool) {
	var last [1 << 16]bool // by the last two bytes of heads, to ask the map seldom
	for head := range r.byHead {
		last[uint16(head)] = true
	}
	var head uint64
	for i, b := range text {
		head = head<<8 | uint64(b)
		if i+1 < minNeedle || !last[uint16(head)] {
			continue
		}
		for _, n := range r.byHead[head] {
			if bytes.HasPrefix(text[i+1-minNeedle:], n.value) {
				found[Hit{n.secret, n.form}] = true
			}
		}
	}
}

// Redact returns the text with "[secret NAME]" in place of secrets.
func (r *Redactor) Redact(text string) string { return r.replace.Replace(text) }

// squeeze removes what breaks lines, also where it is escaped.
func squeeze(text []byte) []byte {
	return []byte(strings.NewReplacer("\n", "", "\r", "", "\t", "", " ", "", `\\n`, "", `\n`, "", "%0A", "", "%0a", "").Replace(string(text)))
}

// numbers returns the private numbers and the bytes that the entry's texts stand
// for.
func (e *entry) numbers() [][]byte {
	var out [][]byte
	for _, k := range e.Keys {
		if raw, err := base64.URLEncoding.DecodeString(k); err == nil {
			out = append(out, raw)
		}
	}
	block, _ := pem.Decode([]byte(e.Key))
	if block == nil {
		return out
	}
	if e.Kind == KindSSH {
		return append(out, seed(block.Bytes, e.Public))
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if ec, ok := key.(*ecdsa.PrivateKey); ok {
			if raw, err := ec.Bytes(); err == nil {
				out = append(out, raw)
			}
		}
	}
	return out
}

// seed returns the private half of an Ed25519 key from a file of OpenSSH: there
// it follows the second copy of the public half (PROTOCOL.key in its sources).
func seed(file []byte, public string) []byte {
	const length, size = 4, 32
	_, text, _ := strings.Cut(public, " ")
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(blob) < size {
		return nil
	}
	pub := blob[len(blob)-size:]
	from := bytes.Index(file, pub)
	if from < 0 {
		return nil
	}
	rest := file[from+size:]
	next := bytes.Index(rest, pub)
	if next < 0 || len(rest) < next+size+length+size {
		return nil
	}
	return rest[next+size+length:][:size]
}
