package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// NewUser is a user to be made, no system user.
type NewUser struct {
	Name    string
	UID     int      // 0 for the next that is free
	Group   string   // primary group by name or number; "" for one of the user's name
	Groups  []string // further groups, by name
	Comment string
	Home    string
	Shell   string // "" for that of /etc/default/useradd
	Hash    string // encrypted password; "" for a locked one
}

// passwordLock is what lckpwdf(3), and with it every program that changes the
// account files, locks.
const passwordLock = "/etc/.pwd.lock"

// pending is the entry that names the users whose lines are being written. What a
// run that was cut off has left of those that are not in /etc/passwd is taken back.
const pending = "accounts:pending"

// Add makes users as useradd(8) of shadow-utils does, without their homes, and
// returns the names of those made: all at once, while every useradd starts
// several processes and replaces six files. A user of whom anything is not as
// plain as it can be is left out, for useradd, and so are all where the host
// asks for more than lines in the account files (see readPolicy).
//
// The caller holds [Lock]. Cut off anywhere, a user is there whole or, once
// [Recover] has been called, not at all: the line in /etc/passwd comes last.
func Add(ctx context.Context, h resource.Host, users []NewUser) (made []string, err error) {
	p, err := readPolicy(h)
	if errors.Is(err, errNotPlain) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	unlock, err := h.LockFile(ctx, passwordLock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	e, err := open(h)
	if errors.Is(err, errNotPlain) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	n := note{}
	for _, u := range users {
		if e.add(u, p) {
			made = append(made, u.Name)
			n[u.Name] = ""
			if u.Group == "" {
				n[u.Name] = e.group.row(u.Name)[2]
			}
		}
	}
	if len(made) == 0 {
		return nil, nil
	}
	if err := e.save(h, n); err != nil {
		return nil, fmt.Errorf("cannot write the accounts: %w", err)
	}
	for _, name := range made {
		h.Logf("made user %s", name)
	}
	return made, nil
}

// Recover takes back what is left of users that were being made when a run was
// cut off. The caller holds [Lock].
func Recover(ctx context.Context, h resource.Host) error {
	kept, found, err := original.Load(h, pending)
	if err != nil || !found {
		return err
	}
	var n note
	if err := json.Unmarshal(kept.Data, &n); err != nil {
		return fmt.Errorf("cannot read which users were being made: %w", err)
	}
	unlock, err := h.LockFile(ctx, passwordLock)
	if err != nil {
		return err
	}
	defer unlock()
	e, err := open(h)
	if err != nil {
		return err
	}
	for name, gid := range n {
		if e.passwd.row(name) == nil {
			e.forget(name, gid)
		}
	}
	if err := e.write(h); err != nil {
		return fmt.Errorf("cannot write the accounts: %w", err)
	}
	return original.Drop(h, pending)
}

// note has the users that are being made, each with the number of the group of
// its name that is made with it, or "".
type note map[string]string

// edit is a change of the account files.
type edit struct {
	passwd, shadow, group, gshadow *table
	subUID, subGID                 *table // nil where they are not in use
}

func open(h resource.Host) (*edit, error) {
	e := &edit{}
	for _, f := range []struct {
		path     string
		to       **table
		optional bool
	}{
		{"/etc/passwd", &e.passwd, false},
		{"/etc/shadow", &e.shadow, false},
		{"/etc/group", &e.group, false},
		{"/etc/gshadow", &e.gshadow, false},
		{"/etc/subuid", &e.subUID, true},
		{"/etc/subgid", &e.subGID, true},
	} {
		if _, err := h.Lstat(f.path); f.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		t, err := readTable(h, f.path)
		if err != nil {
			return nil, err
		}
		*f.to = t
	}
	return e, nil
}

// add adds the lines of a user, or reports that useradd must do it. Nothing is
// changed in that case.
func (e *edit) add(u NewUser, p *policy) bool {
	if e.passwd.row(u.Name) != nil || u.Shell == "" && p.shell == "" {
		return false
	}
	uid := int64(u.UID)
	if uid == 0 {
		uid = max(p.uid.min, highest(e.passwd.numbers(2), p.uid)+1)
	}
	gid, own := e.primary(u, uid, p)
	switch {
	case !p.uid.holds(uid), gid < 0, slices.Contains(e.passwd.numbers(2), uid):
		return false
	case uid*32 < p.lastLogins: // records of an earlier user, of 32 bytes or more each
		return false
	}
	for _, g := range u.Groups {
		if e.group.row(g) == nil {
			return false
		}
	}
	sub, ok := e.subordinates(u.Name, p)
	if !ok {
		return false
	}
	if own {
		e.group.set(u.Name, "x", strconv.FormatInt(gid, 10), "")
		e.gshadow.set(u.Name, "!", "", "")
	}
	for _, g := range u.Groups {
		e.group.join(g, u.Name)
		e.gshadow.join(g, u.Name)
	}
	sub()
	e.setUser(u, uid, gid, p)
	return true
}

func (e *edit) setUser(u NewUser, uid, gid int64, p *policy) {
	shell, hash := u.Shell, u.Hash
	if shell == "" {
		shell = p.shell
	}
	if hash == "" {
		hash = "!"
	}
	today := strconv.FormatInt(time.Now().Unix()/(24*60*60), 10)
	e.shadow.set(u.Name, hash, today, p.minDays, p.maxDays, p.warnDays, "", "", "")
	e.passwd.set(u.Name, "x", strconv.FormatInt(uid, 10), strconv.FormatInt(gid, 10), u.Comment, u.Home, shell)
}

// primary returns the number of the primary group, -1 if that is for useradd to
// find, and whether it is one of the user's own that is yet to be made. useradd
// gives it the user's number if it can.
func (e *edit) primary(u NewUser, uid int64, p *policy) (gid int64, own bool) {
	if u.Group == "" {
		if e.group.row(u.Name) != nil || e.gshadow.row(u.Name) != nil || !p.gid.holds(uid) || slices.Contains(e.group.numbers(2), uid) {
			return -1, false
		}
		return uid, true
	}
	if f := e.group.row(u.Group); len(f) == 4 {
		if n, err := strconv.ParseInt(f[2], 10, 64); err == nil {
			return n, false
		}
	}
	if n, err := strconv.ParseInt(u.Group, 10, 64); err == nil && slices.Contains(e.group.numbers(2), n) {
		return n, false
	}
	return -1, false
}

// subordinates finds ranges of subordinate numbers and returns what adds them.
func (e *edit) subordinates(name string, p *policy) (add func(), ok bool) {
	var adds []func()
	for _, s := range []struct {
		t *table
		p subordinate
	}{{e.subUID, p.subUID}, {e.subGID, p.subGID}} {
		if s.t == nil || s.p.count == 0 || s.t.row(name) != nil {
			continue
		}
		first, ok := s.t.freeRange(s.p)
		if !ok {
			return nil, false
		}
		adds = append(adds, func() { s.t.set(name, strconv.FormatInt(first, 10), strconv.FormatInt(s.p.count, 10)) })
	}
	return func() {
		for _, f := range adds {
			f()
		}
	}, true
}

// freeRange finds the first hole between the ranges that are given out.
func (t *table) freeRange(p subordinate) (first int64, ok bool) {
	var taken []span
	for _, r := range t.rows {
		f := strings.Split(r, ":")
		if len(f) != 3 {
			continue
		}
		start, e1 := strconv.ParseInt(f[1], 10, 64)
		count, e2 := strconv.ParseInt(f[2], 10, 64)
		if e1 != nil || e2 != nil {
			return 0, false
		}
		taken = append(taken, span{start, start + count - 1})
	}
	slices.SortFunc(taken, func(a, b span) int { return int(a.min - b.min) })
	low := p.min
	for _, s := range taken {
		if min(s.min, p.max+1)-low >= p.count {
			return low, true
		}
		low = max(low, s.max+1)
	}
	return low, p.max+1-low >= p.count
}

// highest returns the highest number within s, or one less than its lowest.
func highest(numbers []int64, s span) int64 {
	top := s.min - 1
	for _, n := range numbers {
		if s.holds(n) {
			top = max(top, n)
		}
	}
	return top
}

// forget drops all lines of a user that is not in /etc/passwd, and the group
// that was made with it unless somebody has taken to that.
func (e *edit) forget(name, gid string) {
	for _, t := range []*table{e.shadow, e.subUID, e.subGID} {
		if t != nil {
			t.remove(name)
		}
	}
	e.group.leave(name)
	e.gshadow.leave(name)
	switch f := e.group.row(name); {
	case gid == "":
	case f == nil:
		e.gshadow.remove(name) // written before the group
	case len(f) == 4 && f[2] == gid && f[3] == "":
		e.gshadow.remove(name)
		e.group.remove(name)
	}
}

// save notes who is being added and writes the files.
func (e *edit) save(h resource.Host, n note) error {
	data, err := json.Marshal(n)
	if err == nil {
		err = original.Save(h, pending, original.Entry{Data: data})
	}
	if err == nil {
		err = e.write(h)
	}
	if err != nil {
		return err
	}
	return original.Drop(h, pending)
}

// write writes the files, /etc/passwd last: what is not there is nobody's.
func (e *edit) write(h resource.Host) error {
	for _, t := range []*table{e.subUID, e.subGID, e.gshadow, e.group, e.shadow, e.passwd} {
		if err := t.write(h); err != nil {
			return err
		}
	}
	return nil
}
