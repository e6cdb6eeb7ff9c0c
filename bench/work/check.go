package work

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Check returns a shell script that says whether the host of that name has
// everything. It is the floor of what any tool can take, too: each fact is read
// once, by six processes for all of the things. It ends with status 0, or says
// which kind of thing differs.
func (w Work) Check(host string) string {
	var b strings.Builder
	b.WriteString("fail() { echo \"$1 differ\" >&2; exit 1; }\n")
	b.WriteString("sha256sum --check --status --strict - 2>/dev/null <<'END' || fail files\n")
	var modes, paths strings.Builder
	for _, f := range w.Files {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(f.content(host))), f.Path)
		fmt.Fprintf(&modes, "%s regular file 644 root root\n", f.Path)
		paths.WriteString(" " + f.Path)
	}
	b.WriteString("END\n")
	for _, d := range w.Dirs {
		fmt.Fprintf(&modes, "%s directory 755 root root\n", d)
		paths.WriteString(" " + d)
	}
	expect(&b, "stat -c '%n %F %a %U %G'"+paths.String(), modes.String(), "modes and owners")
	w.checkRest(&b)
	return b.String()
}

func (w Work) checkRest(b *strings.Builder) {
	var names, want []string
	for _, u := range w.Users {
		names = append(names, u.Name)
		want = append(want, fmt.Sprintf("%s %d %s", u.Name, u.UID, u.Shell))
	}
	expect(b, "getent passwd "+strings.Join(names, " ")+" | while IFS=: read -r n _ u _ _ _ s; do echo \"$n $u $s\"; done",
		strings.Join(want, "\n"), "users")
	want = nil
	for _, p := range w.Packages {
		want = append(want, p+" installed")
	}
	expect(b, "dpkg-query -W -f='${Package} ${db:Status-Status}\\n' "+strings.Join(w.Packages, " "), strings.Join(want, "\n"), "packages")
	want = nil
	for range w.Units {
		want = append(want, "ActiveState=active\nUnitFileState=enabled\n")
	}
	expect(b, "systemctl show -p ActiveState -p UnitFileState "+strings.Join(w.Units, " "), strings.Join(want, "\n"), "services")
}

// expect adds the comparison of a command's output with a text that holds no
// quotes.
func expect(b *strings.Builder, command, want, what string) {
	fmt.Fprintf(b, "[ \"$(%s)\" = '%s' ] || fail '%s'\n", command, strings.TrimRight(want, "\n"), what)
}
