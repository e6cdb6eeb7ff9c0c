package sshtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Sudo is a stand-in for sudo(8) with -S, -p and --.
type Sudo struct {
	dir string
	t   testing.TB
}

// NewSudo writes a sudo that wants the password, or none if that is empty.
func NewSudo(t testing.TB, password string) *Sudo {
	t.Helper()
	s := &Sudo{dir: t.TempDir(), t: t}
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := strings.ReplaceAll(sudoScript, "DIR", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "sudo"), []byte(script), 0o700); err != nil { // a program
		t.Fatal(err)
	}
	return s
}

// Env returns the PATH on which this sudo comes first.
func (s *Sudo) Env() string { return "PATH=" + s.dir + ":" + os.Getenv("PATH") }

// Answers returns what was given as password so far.
func (s *Sudo) Answers() []string {
	data, err := os.ReadFile(filepath.Join(s.dir, "answers"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return strings.Fields(string(data))
}

const sudoScript = `#!/bin/sh
prompt='Password: '
while :; do
  case "$1" in
  -S) shift ;;
  -p) prompt=$2; shift 2 ;;
  --) shift; break ;;
  *) echo "sudo: unknown option $1" >&2; exit 1 ;;
  esac
done
read -r want <DIR/password
tries=0
while [ -n "$want" ]; do
  printf '%s' "$prompt" >&2
  IFS= read -r got || { echo 'sudo: no password was provided' >&2; exit 1; }
  echo "$got" >>DIR/answers
  [ "$got" = "$want" ] && break
  echo 'Sorry, try again.' >&2
  tries=$((tries + 1))
  [ $tries -lt 3 ] || { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }
done
exec "$@"
`
