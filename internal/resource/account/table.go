package account

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// table is one of the account files: lines of fields, the first of which is a
// name. Lines that are not touched stay as they are.
type table struct {
	path    string
	access  resource.Access
	rows    []string
	changed bool
}

// readTable reads a file that must be plain: no symlink, and no line that takes
// in other databases (compat of nsswitch.conf(5)).
func readTable(h resource.Host, path string) (*table, error) {
	fi, err := h.Lstat(path)
	if err != nil || fi.Type != resource.Regular {
		return nil, fmt.Errorf("%w: %s is not a plain file", errNotPlain, path)
	}
	data, err := h.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the accounts: %w", err)
	}
	t := &table{path: path, access: resource.Access{Mode: fi.Mode, UID: fi.UID, GID: fi.GID}}
	for line := range strings.Lines(string(data)) {
		if line[0] == '+' || line[0] == '-' {
			return nil, fmt.Errorf("%w: %s takes in other databases", errNotPlain, path)
		}
		t.rows = append(t.rows, strings.TrimRight(line, "\n"))
	}
	return t, nil
}

// row returns the fields of a name, nil if there are none.
func (t *table) row(name string) []string {
	if i := t.index(name); i >= 0 {
		return strings.Split(t.rows[i], ":")
	}
	return nil
}

func (t *table) index(name string) int {
	return slices.IndexFunc(t.rows, func(r string) bool { return strings.HasPrefix(r, name+":") })
}

// set replaces the line of the name in the first field, or appends one.
func (t *table) set(fields ...string) {
	t.changed = true
	line := strings.Join(fields, ":")
	if i := t.index(fields[0]); i >= 0 {
		t.rows[i] = line
	} else {
		t.rows = append(t.rows, line)
	}
}

// remove drops the line of a name.
func (t *table) remove(name string) {
	if i := t.index(name); i >= 0 {
		t.rows, t.changed = slices.Delete(t.rows, i, i+1), true
	}
}

// numbers returns the given column of all lines that have a number there.
func (t *table) numbers(column int) []int64 {
	var out []int64
	for _, r := range t.rows {
		f := strings.Split(r, ":")
		if column < len(f) {
			if n, err := strconv.ParseInt(f[column], 10, 64); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// join adds a user to the list of names in the last field of a group.
func (t *table) join(group, user string) {
	f := t.row(group)
	if f == nil {
		return
	}
	last := &f[len(f)-1]
	if slices.Contains(strings.Split(*last, ","), user) {
		return
	}
	*last = strings.Trim(*last+","+user, ",")
	t.set(f...)
}

// leave takes a user out of all lists of names in the last field.
func (t *table) leave(user string) {
	for _, r := range slices.Clone(t.rows) {
		f := strings.Split(r, ":")
		last := &f[len(f)-1]
		if names := strings.Split(*last, ","); slices.Contains(names, user) {
			*last = strings.Join(slices.DeleteFunc(names, func(n string) bool { return n == user }), ",")
			t.set(f...)
		}
	}
}

// write replaces the file if anything has changed.
func (t *table) write(h resource.Host) error {
	if t == nil || !t.changed {
		return nil
	}
	var b strings.Builder
	for _, r := range t.rows {
		b.WriteString(r + "\n")
	}
	return h.WriteFile(t.path, []byte(b.String()), t.access)
}
