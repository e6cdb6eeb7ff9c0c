package authkey

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// keyTypes are the types of public keys that OpenSSH's sshd takes.
var keyTypes = []string{
	"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// line is an entry of authorized_keys (AUTHORIZED_KEYS FILE FORMAT, sshd(8)).
type line struct{ options, kind, blob, comment string }

func (l line) String() string {
	parts := slices.DeleteFunc([]string{l.options, l.kind, l.blob, l.comment}, func(s string) bool { return s == "" })
	return strings.Join(parts, " ")
}

// parseLine reads a line with or without options; ok is false for comments and
// what is no key.
func parseLine(s string) (l line, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || s[0] == '#' {
		return l, false
	}
	first, rest := cutWord(s)
	if !slices.Contains(keyTypes, first) {
		l.options = first
		first, rest = cutWord(rest)
	}
	l.kind = first
	l.blob, l.comment = cutWord(rest)
	return l, slices.Contains(keyTypes, l.kind) && l.blob != ""
}

// cutWord cuts s at the first blank that is not inside double quotes.
func cutWord(s string) (word, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return s[:i], strings.TrimLeft(s[i:], " \t")
		}
	}
	return s, ""
}

// parseKey reads a public key as ssh-keygen writes it, without options.
func parseKey(s string) (line, error) {
	if strings.ContainsAny(s, "\n\r\x00") {
		return line{}, errors.New("holds more than one line")
	}
	l, ok := parseLine(s)
	if !ok || l.options != "" {
		return l, errors.New("is not a public key as in a .pub file: type, key, comment")
	}
	raw, err := base64.StdEncoding.DecodeString(l.blob)
	if err != nil {
		return l, fmt.Errorf("holds no base64: %w", err)
	}
	// The blob repeats the type as its first string (RFC 4253, 6.6).
	if len(raw) < 4 || uint64(len(raw)) < 4+uint64(binary.BigEndian.Uint32(raw)) ||
		string(raw[4:4+binary.BigEndian.Uint32(raw)]) != l.kind {
		return l, fmt.Errorf("does not hold a key of type %s", l.kind)
	}
	return l, nil
}

// fingerprint renders the key as ssh-keygen -l does.
func (l line) fingerprint() string {
	raw, err := base64.StdEncoding.DecodeString(l.blob)
	if err != nil {
		return "invalid"
	}
	sum := sha256.Sum256(raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// find returns the first entry with the key, and its index among lines.
func find(lines []string, blob string) (line, int) {
	for i, s := range lines {
		if l, ok := parseLine(s); ok && l.blob == blob {
			return l, i
		}
	}
	return line{}, -1
}

// splitLines splits a file into lines. The last is what follows the last
// newline, mostly nothing; new lines go before it, so that taking them out again
// restores the file to the byte.
func splitLines(data []byte) []string { return strings.Split(string(data), "\n") }

func joinLines(lines []string) []byte { return []byte(strings.Join(lines, "\n")) }
