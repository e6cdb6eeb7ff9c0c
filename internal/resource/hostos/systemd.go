package hostos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/hostos/dbus"
)

// systemdSocket is where process 1 takes calls of root, as systemctl makes them.
const systemdSocket = "/run/systemd/private"

const (
	systemdName    = "org.freedesktop.systemd1"
	managerFace    = systemdName + ".Manager"
	unitFace       = systemdName + ".Unit"
	propertiesFace = "org.freedesktop.DBus.Properties"
	getOne, getAll = "Get", "GetAll" // methods of properties
)

// systemdPatience bounds what is asked over the socket: a reload of a system of
// thousands of units on a loaded computer, which is the longest.
const systemdPatience = 2 * time.Minute

// systemctl does what the command would, for the few uses of it of which there
// are many: the program takes four times as long as the answer does (12 ms
// against 3). done is false where it is to be run after all: other uses, no such
// socket, and any error, of which systemctl knows how to tell. All uses may be
// repeated.
func (h *Host) systemctl(ctx context.Context, c resource.Command) (out resource.Output, done bool) {
	verb, options, names := splitSystemctl(c.Args)
	var f func(*systemd) ([]byte, error)
	switch {
	case verb == "show" && slices.Equal(options[:min(2, len(options))], []string{"--timestamp=us+utc", "-p"}) && len(options) == 3:
		f = func(s *systemd) ([]byte, error) { return s.show(names, strings.Split(options[2], ",")) }
	case verb == "enable" && len(options) == 0 && !slices.ContainsFunc(names, h.hasScript):
		f = func(s *systemd) ([]byte, error) { return s.enable(names) }
	case verb == "start" && slices.Equal(options, []string{"--no-block"}):
		f = func(s *systemd) ([]byte, error) { return nil, s.start(names) }
	case verb == "daemon-reload" && len(options)+len(names) == 0:
		f = func(s *systemd) ([]byte, error) { return nil, s.call(managerCall("Reload")) }
	}
	if f == nil || os.Geteuid() != 0 || slices.ContainsFunc(names, isPattern) {
		return out, false
	}
	ctx, cancel := context.WithTimeout(ctx, systemdPatience)
	defer cancel()
	conn, err := dbus.Dial(ctx, systemdSocket, 0)
	if err != nil {
		return out, false
	}
	defer func() { _ = conn.Close() }()
	text, err := f(&systemd{conn})
	if err != nil {
		return out, false
	}
	if !c.Quiet {
		h.Logf("%s", text)
	}
	return resource.Output{Stdout: text}, true
}

// duringEnablement keeps looking at units apart from enabling others. Between the
// change of symlinks and the reload that follows it, systemd says of every unit that
// it is older than its files (unit_file_state_outdated in its manager.h), and so of one
// that was just made to agree with them. The function returned ends it.
func (h *Host) duringEnablement(args []string) (end func()) {
	switch {
	case len(args) == 0:
	case slices.Contains([]string{"enable", "reenable", "disable", "mask", "unmask"}, args[0]):
		h.enabling.Lock()
		return h.enabling.Unlock
	case args[0] == "show":
		h.enabling.RLock()
		return h.enabling.RUnlock
	}
	return func() {}
}

// splitSystemctl takes arguments apart. Names come after "--", which the kinds
// write where there may be many; without it there is nothing to take apart.
func splitSystemctl(args []string) (verb string, options, names []string) {
	if len(args) == 0 {
		return "", nil, nil
	}
	i := slices.Index(args, "--")
	if i < 0 {
		return args[0], args[1:], nil
	}
	return args[0], args[1:i], args[i+1:]
}

// isPattern reports whether systemctl would make more of a name than a name.
func isPattern(name string) bool {
	return strings.ContainsAny(name, "*?[/ \\") || !strings.Contains(name, ".")
}

// hasScript reports whether there is a script of System V by the unit's name,
// which systemctl would enable as well.
func (h *Host) hasScript(name string) bool {
	_, err := h.Lstat("/etc/init.d/" + strings.TrimSuffix(name, ".service"))
	return err == nil
}

// systemd is process 1.
type systemd struct{ conn *dbus.Conn }

func managerCall(method string, args ...any) dbus.Call {
	return dbus.Call{Destination: systemdName, Path: "/org/freedesktop/systemd1", Interface: managerFace, Method: method, Args: args}
}

// do makes calls of which none may fail.
func (s *systemd) do(calls ...dbus.Call) ([]dbus.Reply, error) {
	replies, err := s.conn.Do(calls...)
	for _, r := range replies {
		if err == nil {
			err = r.Err
		}
	}
	return replies, err
}

func (s *systemd) call(c dbus.Call) error {
	_, err := s.do(c)
	return err
}

// start queues the start of units.
func (s *systemd) start(names []string) error {
	var calls []dbus.Call
	for _, n := range names {
		calls = append(calls, managerCall("StartUnit", n, "replace"))
	}
	_, err := s.do(calls...)
	return err
}

// enable makes the symlinks that the units' files ask for and lets systemd read
// them.
func (s *systemd) enable(names []string) ([]byte, error) {
	replies, err := s.do(managerCall("EnableUnitFiles", names, false, false))
	if err != nil {
		return nil, err
	}
	if v := replies[0].Values; len(v) != 2 || v[0] != true {
		return nil, fmt.Errorf("%s cannot be enabled", names)
	}
	var b strings.Builder
	changes, _ := replies[0].Values[1].([]any)
	for _, c := range changes {
		if f, _ := c.([]any); len(f) == 3 && f[0] == "symlink" {
			fmt.Fprintf(&b, "Created symlink '%s' → '%s'.\n", f[1], f[2])
		}
	}
	return []byte(b.String()), s.call(managerCall("Reload"))
}

// show prints properties of units as systemctl does, in another order.
func (s *systemd) show(names, properties []string) ([]byte, error) {
	replies, err := s.do(managerCall("ListUnitsByNames", names))
	if err != nil {
		return nil, err
	}
	if len(replies[0].Values) != 1 {
		return nil, errShown
	}
	listed, _ := replies[0].Values[0].([]any)
	if len(listed) != len(names) {
		return nil, errShown
	}
	var calls []dbus.Call
	for i, u := range listed {
		f, _ := u.([]any)
		if len(f) < 4 {
			return nil, errShown
		}
		calls = append(calls, questions(names[i], f, properties)...)
	}
	answers, err := s.conn.Do(calls...)
	if err != nil {
		return nil, err
	}
	blocks := make([]string, len(names))
	for i, u := range listed {
		n := len(questions(names[i], u.([]any), properties))
		if blocks[i], err = block(u.([]any), properties, calls[:n], answers[:n]); err != nil {
			return nil, err
		}
		calls, answers = calls[n:], answers[n:]
	}
	return []byte(strings.Join(blocks, "\n")), nil
}

var errShown = errors.New("systemd does not answer as expected")

// listedAt returns the place of a property in what ListUnitsByNames tells of a
// unit, -1 if it has none.
func listedAt(property string) int {
	switch property {
	case "Id":
		return 0
	case "LoadState":
		return 2
	case "ActiveState":
		return 3
	case "SubState":
		return 4
	}
	return -1
}

// questions returns the calls that tell the rest. A unit that is not active may
// be dropped by systemd after each call, and read from its file again for the
// next: it is asked for all properties in one.
func questions(name string, listed []any, properties []string) []dbus.Call {
	p := dbus.Call{Destination: systemdName, Path: unitPath(name), Interface: propertiesFace}
	if listed[3] != "active" {
		p.Method, p.Args = getAll, []any{""}
		return []dbus.Call{p}
	}
	var calls []dbus.Call
	for _, property := range properties {
		if listedAt(property) < 0 {
			p.Method, p.Args = getOne, []any{faceOf(name, property), property}
			calls = append(calls, p)
		}
	}
	return calls
}

// unitPath is the path of a unit as an object: what is no letter or digit is
// written in hexadecimal (sd_bus_path_encode(3)).
func unitPath(name string) string {
	var b strings.Builder
	b.WriteString("/org/freedesktop/systemd1/unit/")
	for i, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// faceOf returns the interface that has a property: that of all units, or that
// of the unit's type.
func faceOf(name, property string) string {
	switch property {
	case "LoadError", "UnitFileState", "CanReload", "NeedDaemonReload", "ActiveEnterTimestamp":
		return unitFace
	}
	kind := strings.TrimPrefix(path.Ext(name), ".")
	return systemdName + "." + strings.ToUpper(kind[:1]) + kind[1:]
}

// block renders the properties of one unit. One that the type of unit does not
// have is left out, as by systemctl.
func block(listed []any, properties []string, calls []dbus.Call, answers []dbus.Reply) (string, error) {
	values := map[string]any{}
	for i, a := range answers {
		switch {
		case a.Err != nil && calls[i].Method == getOne:
		case a.Err != nil:
			return "", a.Err
		case len(a.Values) != 1:
			return "", errShown
		case calls[i].Method == getOne:
			values[calls[i].Args[1].(string)] = a.Values[0]
		default:
			all, _ := a.Values[0].([]any)
			for _, entry := range all {
				if f, _ := entry.([]any); len(f) == 2 {
					name, _ := f[0].(string)
					values[name] = f[1]
				}
			}
		}
	}
	var b strings.Builder
	for _, p := range properties {
		v, known := values[p]
		if i := listedAt(p); i >= 0 && !known {
			v, known = listed[i], true
		}
		if known {
			fmt.Fprintf(&b, "%s=%s\n", p, render(p, v))
		}
	}
	return b.String(), nil
}

// render writes a value as systemctl does.
func render(property string, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case uint64:
		if !strings.HasSuffix(property, "Timestamp") {
			return strconv.FormatUint(v, 10)
		}
		if v == 0 {
			return ""
		}
		return time.UnixMicro(int64(v)).UTC().Format("Mon 2006-01-02 15:04:05.000000 MST")
	case []any: // LoadError: name and message
		if len(v) == 2 && v[0] != "" {
			return fmt.Sprintf("%s %q", v[0], v[1])
		}
	}
	return ""
}
