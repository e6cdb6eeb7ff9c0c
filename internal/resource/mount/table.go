package mount

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// fields are the six of a line of fstab(5).
type fields struct{ source, target, fstype, options, dump, pass string }

// String renders a line without its end. Blanks in paths are written in octal.
func (f fields) String() string {
	return strings.Join([]string{escape(f.source), escape(f.target), f.fstype, f.options, f.dump, f.pass}, "\t")
}

var escaper = strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`)

func escape(s string) string { return escaper.Replace(s) }

// unescape reads the octal escapes of getmntent(3).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// parse reads a line of fstab or of /proc/self/mounts.
func parse(line string) (fields, bool) {
	w := strings.Fields(line)
	if len(w) < 4 || strings.HasPrefix(w[0], "#") {
		return fields{}, false
	}
	w = append(w, "0", "0")
	return fields{unescape(w[0]), unescape(w[1]), w[2], w[3], w[4], w[5]}, true
}

// findIn returns the last entry of a target, which is the one on top, and the
// index of its line.
func findIn(lines []string, target string) (fields, int) {
	for i := len(lines) - 1; i >= 0; i-- {
		if f, ok := parse(lines[i]); ok && f.target == target {
			return f, i
		}
	}
	return fields{}, -1
}

// readLines returns the lines of a file with their ends; none of a missing one.
func readLines(h resource.Host, file string) ([]string, error) {
	data, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slices.Collect(strings.Lines(string(data))), err
}

// kernelFlags are the options that the kernel shows as they are given, with
// what holds without them. Others (sizes, owners, those of mount(8) and systemd)
// come back in another form or not at all, and are not compared.
var kernelFlags = map[string]string{"ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "noatime": "atime"}

// flagsOf returns the comparable options, sorted.
func flagsOf(options string) string {
	var out []string
	for o := range strings.SplitSeq(options, ",") {
		if _, ok := kernelFlags[o]; ok {
			out = append(out, o)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ",")
}
