package amphora

import (
	"fmt"
	"strings"
)

// Quote writes a word of a HAProxy configuration file: as it is where nothing in
// it is special, otherwise in strong quotes, in which HAProxy expands nothing
// (configuration manual, "Quoting and escaping"). Lines cannot be written in
// quotes, so Printable must hold.
func Quote(s string) string {
	if s != "" && plain(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plain reports whether a word means itself, in a file and on the command line
// of the runtime API.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && !strings.ContainsRune("_./:,@+=-%!()[]*~|&?^", rune(c)) {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// QuoteArg writes the argument of a fetch method, such as the name in req.cook(name):
// the parser of arguments unquotes a second time what Quote wrote.
func QuoteArg(s string) string {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		}
	}
	return s
}

// LogFormat writes text where HAProxy evaluates formats such as %[src].
func LogFormat(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// Printable reports an error if the text has control characters, which could end
// a line of a configuration file.
func Printable(what, s string) error {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("cannot use %s %q: it has a control character", what, s)
		}
	}
	return nil
}

// name reports whether s is one of our own names: ids, backends, files.
func name(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' && c != ':' && (c != '.' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 120
}
