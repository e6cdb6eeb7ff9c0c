package pkg

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// unknownError says that the archive has no such package, or not that version.
type unknownError struct{ name, version, closest string }

func (e *unknownError) Error() string {
	s := fmt.Sprintf("there is no package %q in the repositories of this host", e.name)
	if e.version != "" {
		s = fmt.Sprintf("there is no version %q of package %q in the repositories of this host", e.version, e.name)
	}
	if e.closest != "" {
		s += fmt.Sprintf("; did you mean %q?", e.closest)
	}
	return s
}

// apt-get exits with 100 for everything, so its messages, which LC_ALL=C keeps
// in English, are all there is to tell errors apart.
var (
	unknownRE = []*regexp.Regexp{
		regexp.MustCompile(`(?m)^E: Unable to locate package (?P<name>\S+)`),
		regexp.MustCompile(`(?m)^E: Package '(?P<name>[^']+)' has no installation candidate`),
		regexp.MustCompile(`(?m)^E: Couldn't find any package by (?:regex|glob) '(?P<name>[^']+)'`),
		regexp.MustCompile(`(?m)^E: Version '(?P<version>[^']+)' for '(?P<name>[^']+)' was not found`),
	}
	aptPermanent = []string{
		"No space left on device", "You don't have enough free space", "is not signed", "NO_PUBKEY", "EXPKEYSIG",
	}
	aptTransient = []string{
		"Could not get lock", "Unable to acquire the dpkg", "Unable to lock", "is another process using it", "is locked by another",
		"Failed to fetch", "Temporary failure resolving", "Could not resolve", "Could not connect", "Cannot initiate the connection",
		"Connection timed out", "Connection failed", "Connection refused", "Hash Sum mismatch", "File has unexpected size",
		"Mirror sync in progress", "Undetermined Error",
	}
)

// aptError words the failure of an apt or dpkg command and gives it its class.
// some are the packages of the transaction.
func aptError(what string, out resource.Output, err error, some []*Resource) error {
	var exit *resource.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	text := string(out.Stdout) + string(out.Stderr)
	for _, re := range unknownRE {
		if m := re.FindStringSubmatch(text); m != nil {
			return aboutUnknown(m[re.SubexpIndex("name")], m, re, some)
		}
	}
	err = fmt.Errorf("cannot %s: %s", what, aptReason(text, exit))
	if name := failedPackage(text, some); name != "" {
		err = &packageError{name, err}
	}
	contains := func(s string) bool { return strings.Contains(text, s) }
	if slices.ContainsFunc(aptTransient, contains) && !slices.ContainsFunc(aptPermanent, contains) {
		return retry.Mark(err, retry.Transient)
	}
	return err
}

func aboutUnknown(name string, match []string, re *regexp.Regexp, some []*Resource) error {
	e := &unknownError{name: name}
	if i := re.SubexpIndex("version"); i > 0 {
		e.version = match[i]
	}
	for _, r := range some { // apt may add or leave out the architecture
		if bare, _, _ := strings.Cut(r.Name, ":"); bare == name {
			name = r.Name
		}
	}
	return &packageError{name, e}
}

// aptReason returns the lines in which apt and dpkg say what went wrong.
func aptReason(text string, exit *resource.ExitError) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "dpkg: error") {
			lines = append(lines, strings.TrimPrefix(line, "E: "))
		}
	}
	if len(lines) == 0 {
		return exit.Error()
	}
	const enough = 4
	return strings.Join(lines[:min(enough, len(lines))], "; ")
}

var dpkgFailedRE = regexp.MustCompile(`(?m)^dpkg: error processing (?:package (\S+) \(|archive \S*/([^/_\s]+)_)`)

// failedPackage returns the package of the transaction whose unpacking or
// scripts failed. If it is only a dependency of one, the answer is "".
func failedPackage(text string, some []*Resource) string {
	for _, m := range dpkgFailedRE.FindAllStringSubmatch(text, -1) {
		failed, _, _ := strings.Cut(m[1]+m[2], ":")
		for _, r := range some {
			if bare, _, _ := strings.Cut(r.Name, ":"); bare == failed {
				return r.Name
			}
		}
	}
	return ""
}

// staleLists reports whether newer package lists may mend the error.
func staleLists(err error) bool {
	var unknown *unknownError
	return errors.As(err, &unknown) || strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), "Unable to fetch some archives")
}

// firstLine returns the first line that begins with one of the prefixes.
func firstLine(text []byte, prefixes ...string) string {
	for line := range strings.Lines(string(text)) {
		for _, p := range prefixes {
			if strings.HasPrefix(line, p) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// closest returns the candidate that is a few slips away from name, or "".
func closest(name string, candidates []string) string {
	best, least := "", len(name)/3+1
	for _, c := range candidates {
		if d := edits(name, c, least); d < least {
			best, least = c, d
		}
	}
	return best
}

// edits returns the Levenshtein distance of a and b, or limit when it is at
// least that.
func edits(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return min(row[len(b)], limit)
}
