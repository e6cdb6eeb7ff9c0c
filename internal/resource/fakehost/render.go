package fakehost

import (
	"crypto/sha256"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// String renders the host: every file with mode, owner and text, then what the
// families know. Times are left out, so that equal states are equal text.
func (h *Host) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	names := namesOf(h.fs)
	h.fs.render(&b, "/", names)
	for _, f := range h.families {
		if s := f.Render(h.fs); s != "" {
			b.WriteString(strings.TrimRight(s, "\n") + "\n")
		}
	}
	return b.String()
}

func (f *FS) render(b *strings.Builder, p string, names ownerNames) {
	n := f.nodes[p]
	fmt.Fprintf(b, "%s %s %s", modeText(n), names.of(n.uid, n.gid), p)
	switch n.kind {
	case resource.Symlink:
		fmt.Fprintf(b, " -> %s\n", n.target)
	case resource.Directory:
		b.WriteString("\n")
		for _, name := range f.children(p) {
			f.render(b, path.Join(p, name), names)
		}
	default:
		b.WriteString(contentText(n.data))
	}
}

// contentText shows small texts whole and anything else by its digest.
func contentText(data []byte) string {
	if len(data) > 4096 || !utf8.Valid(data) {
		return fmt.Sprintf(" %d bytes sha256:%x\n", len(data), sha256.Sum256(data))
	}
	var b strings.Builder
	b.WriteString("\n")
	for line := range strings.Lines(string(data)) {
		b.WriteString("    " + line)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		b.WriteString("\\\n") // as diff(1) notes a missing newline
	}
	return b.String()
}

// modeText renders a mode as ls(1) does, without its type letter for files.
func modeText(n *node) string {
	kind := map[resource.FileType]string{resource.Regular: "-", resource.Directory: "d", resource.Symlink: "l", resource.Other: "?"}
	return fmt.Sprintf("%s%04o", kind[n.kind], n.mode)
}

// ownerNames are the names of users and groups by number.
type ownerNames struct{ users, groups map[int]string }

func (o ownerNames) of(uid, gid int) string {
	return nameOr(o.users, uid) + ":" + nameOr(o.groups, gid)
}

func nameOr(names map[int]string, id int) string {
	if s, ok := names[id]; ok {
		return s
	}
	return fmt.Sprint(id)
}
