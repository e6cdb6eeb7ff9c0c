package account

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// policy is what useradd(8) takes from the host for a new user that is no
// system user.
type policy struct {
	uid, gid       span
	subUID, subGID subordinate
	// days of shadow(5): between changes, at most, and of warning; "" for none.
	minDays, maxDays, warnDays string
	shell                      string // "" where only useradd knows
	lastLogins                 int64  // bytes of the larger of lastlog and faillog
}

// span is a range of numbers, both ends included.
type span struct{ min, max int64 }

func (s span) holds(n int64) bool { return n >= s.min && n <= s.max }

// subordinate says how ranges of subuid(5) or subgid(5) are given out.
type subordinate struct {
	span
	count int64 // 0 for none
}

// errNotPlain says that more belongs to a new user on this host than lines in
// the account files.
var errNotPlain = errors.New("users of this host are made by useradd")

// tellers are signs of something that has to be told of a new user, which
// useradd does: security labels, caches, an audit trail, hooks, and
// configuration in places of which this package knows nothing.
func tellers() []string {
	return []string{
		"/sys/fs/selinux/enforce", "/usr/sbin/nscd", "/usr/sbin/sss_cache", "/run/auditd.pid",
		"/etc/shadow-maint/useradd-pre.d", "/etc/shadow-maint/useradd-post.d", "/etc/login.defs.d",
	}
}

// readPolicy returns errNotPlain where the files of login.defs(5), useradd(8)
// and nsswitch.conf(5) say anything that is not known here.
func readPolicy(h resource.Host) (*policy, error) {
	for _, p := range tellers() {
		if _, err := h.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: there is %s", errNotPlain, p)
		}
	}
	if err := checkSources(h); err != nil {
		return nil, err
	}
	defs, err := assignments(h, "/etc/login.defs", " \t")
	if err != nil || len(defs) == 0 {
		return nil, fmt.Errorf("%w: /etc/login.defs cannot be read", errNotPlain)
	}
	add, err := assignments(h, "/etc/default/useradd", "=")
	if err != nil {
		return nil, err
	}
	if add["EXPIRE"] != "" || add["INACTIVE"] != "" && add["INACTIVE"] != "-1" || strings.EqualFold(add["CREATE_MAIL_SPOOL"], "yes") {
		return nil, fmt.Errorf("%w: /etc/default/useradd asks for more", errNotPlain)
	}
	p := &policy{shell: add["SHELL"]}
	for _, name := range []string{"/var/log/lastlog", "/var/log/faillog"} {
		if fi, err := h.Stat(name); err == nil {
			p.lastLogins = max(p.lastLogins, fi.Size)
		}
	}
	return p, p.take(h, defs)
}

// take reads the numbers of login.defs(5); the defaults are those of its manual.
func (p *policy) take(h resource.Host, defs map[string]string) error {
	var faults []error
	number := func(name string, def int64) int64 {
		v, ok := defs[name]
		if !ok {
			return def
		}
		n, err := strconv.ParseInt(v, 0, 64)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %s is %q", errNotPlain, name, v))
		}
		return n
	}
	days := func(name string) string {
		if n := number(name, -1); n >= 0 {
			return strconv.FormatInt(n, 10)
		}
		return ""
	}
	p.uid = span{number("UID_MIN", 1000), number("UID_MAX", 60000)}
	p.gid = span{number("GID_MIN", 1000), number("GID_MAX", 60000)}
	p.minDays, p.maxDays, p.warnDays = days("PASS_MIN_DAYS"), days("PASS_MAX_DAYS"), days("PASS_WARN_AGE")
	for _, s := range []struct {
		file, name string
		to         *subordinate
	}{{"/etc/subuid", "UID", &p.subUID}, {"/etc/subgid", "GID", &p.subGID}} {
		if _, err := h.Stat(s.file); err != nil {
			continue
		}
		s.to.span = span{number("SUB_"+s.name+"_MIN", 100000), number("SUB_"+s.name+"_MAX", 600100000)}
		s.to.count = number("SUB_"+s.name+"_COUNT", 65536)
	}
	if strings.EqualFold(defs["SUB_UID_DETERMINISTIC"], "yes") {
		faults = append(faults, fmt.Errorf("%w: subordinate numbers follow from the user's", errNotPlain))
	}
	return errors.Join(faults...)
}

// checkSources holds nsswitch.conf(5) to the files. What systemd adds
// (nss-systemd(8)) are users that it makes up, with numbers of their own.
func checkSources(h resource.Host) error {
	sources, err := assignments(h, "/etc/nsswitch.conf", ":")
	if err != nil {
		return err
	}
	for _, db := range []string{"passwd", "group", "shadow", "gshadow", "subid"} {
		for s := range strings.FieldsSeq(sources[db]) {
			if !slices.Contains([]string{"files", "systemd"}, s) {
				return fmt.Errorf("%w: the source of %s is %s", errNotPlain, db, s)
			}
		}
	}
	return nil
}

// assignments reads lines of a name, one of the separators, and a value. A file
// that is missing has none.
func assignments(h resource.Host, file, separators string) (map[string]string, error) {
	data, err := h.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read how accounts are made: %w", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if i := strings.IndexAny(line, separators); i > 0 && line[0] != '#' {
			out[line[:i]] = strings.Trim(strings.TrimSpace(line[i+1:]), `"`)
		}
	}
	return out, nil
}
