package pkg

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

const (
	dpkgStatus = "/var/lib/dpkg/status"
	// dpkgUpdates holds what a transaction has not yet merged into the status
	// file. Anything in it while no dpkg runs is left from an interruption.
	dpkgUpdates = "/var/lib/dpkg/updates"
	prefsDir    = "/etc/apt/preferences.d"
)

// parseStatus reads dpkg's status file (deb822 stanzas; dpkg-query(1) explains
// the states). A stanza that makes no sense is passed over: dpkg itself is the
// one to complain. Keys are the name and name:arch.
func parseStatus(data []byte) map[string]status {
	out := make(map[string]status, bytes.Count(data, []byte("\nPackage: "))*2+2)
	var name, arch, version, state string
	flush := func() {
		if name != "" && state != "" && state != "not-installed" && state != "config-files" {
			s := status{state: state, version: version}
			if arch != "" {
				out[name+":"+arch] = s
			}
			if old, ok := out[name]; !ok || old.state != Installed {
				out[name] = s
			}
		}
		name, arch, version, state = "", "", "", ""
	}
	for len(data) > 0 {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		if len(line) == 0 {
			flush()
			continue
		}
		switch line[0] {
		case 'P':
			setField(&name, line, "Package: ")
		case 'A':
			setField(&arch, line, "Architecture: ")
		case 'V':
			setField(&version, line, "Version: ")
		case 'S':
			if text, ok := bytes.CutPrefix(line, []byte("Status: ")); ok {
				state = stateOf(text)
			}
		}
	}
	flush()
	return out
}

func setField(to *string, line []byte, prefix string) {
	if v, ok := bytes.CutPrefix(line, []byte(prefix)); ok {
		*to = string(bytes.TrimSpace(v))
	}
}

// stateOf reads "want flag state". Packages whose triggers are pending work.
func stateOf(text []byte) string {
	fields := bytes.Fields(text)
	if len(fields) != 3 {
		return ""
	}
	if string(fields[1]) != "ok" {
		return string(fields[1]) // reinstreq: it must be unpacked again
	}
	switch s := string(fields[2]); s {
	case "triggers-pending", "triggers-awaited":
		return Installed
	default:
		return s
	}
}

// prepare does nothing: one reading of the status file serves all.
func (apt) prepare(context.Context, resource.Host, []string) error { return nil }

func (apt) status(_ context.Context, h resource.Host, name string) (status, error) {
	v, err := h.Memo("package: dpkg status", func() (any, error) {
		data, err := h.ReadFile(dpkgStatus)
		return parseStatus(data), err
	})
	if err != nil {
		return status{}, err
	}
	return v.(map[string]status)[name], nil
}

func (apt) interrupted(h resource.Host) (bool, error) {
	left, err := conffile.List(h, dpkgUpdates)
	return len(left) > 0, err
}

func (apt) brokenNote() string {
	return "an installation was interrupted; the next apply finishes it with: dpkg --configure -a"
}

// pinFile returns the pin of a version. Priority 1001 lets apt go back to an
// older version as well (apt_preferences(5)).
func pinFile(r *Resource) conffile.File {
	return conffile.File{Path: pinPath(r.Name), Text: fmt.Sprintf(
		"Explanation: Made by updraft; changes will be undone.\nPackage: %s\nPin: version %s\nPin-Priority: 1001\n", r.Name, r.Version)}
}

// pinPath avoids what apt ignores: names with other characters than letters,
// digits, hyphen, underscore and period. No package's name has an underscore.
func pinPath(name string) string {
	name = strings.NewReplacer("+", "_plus", ":", "_").Replace(name)
	return prefsDir + "/updraft-" + name + ".pref"
}

func (apt) comparePin(h resource.Host, r *Resource, b *drift.Builder) error {
	if r.Version != "" {
		_, err := pinFile(r).Compare(h, b, "pin")
		return err
	}
	there, err := conffile.Exists(h, pinPath(r.Name))
	if there {
		b.Add(drift.Change{Attr: "pin", From: pinPath(r.Name), To: "absent"})
	}
	return err
}

func (apt) pin(h resource.Host, r *Resource) error {
	if r.Version == "" {
		_, err := conffile.Remove(h, pinPath(r.Name))
		return err
	}
	_, err := pinFile(r).Write(h)
	return err
}

func (apt) unpin(h resource.Host, name string) error {
	_, err := conffile.Remove(h, pinPath(name))
	return err
}
