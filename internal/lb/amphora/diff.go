package amphora

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Plan is how to get from one configuration of HAProxy to another.
type Plan struct {
	// Reload says that commands cannot do it, and Why not.
	Reload bool
	Why    string
	// Commands are of the runtime API, in their order.
	Commands []string
	// Leaving are servers (backend/name) that take nothing new; they are deleted
	// when their last connection has ended.
	Leaving []string
	// Cookies says that the servers that come have cookies, which HAProxy before
	// 3.0 takes by a reload alone.
	Cookies bool
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return !p.Reload && len(p.Commands) == 0 && len(p.Leaving) == 0 }

// Diff plans the way from what runs to what shall run. Weights, administrative
// states, new and removed members go through the runtime API; everything else
// needs a reload. Neither loses a connection.
func Diff(from, to *HAProxy) Plan {
	switch {
	case from == nil && to == nil:
		return Plan{}
	case from == nil || to == nil:
		return reload("HAProxy starts or ends")
	case from.Head != to.Head:
		return reload("listeners or certificates differ")
	case len(from.Backends) != len(to.Backends):
		return reload("pools differ")
	}
	var p Plan
	for i, old := range from.Backends {
		if p.backend(old, to.Backends[i]); p.Reload {
			return p
		}
	}
	return p
}

func reload(why string) Plan { return Plan{Reload: true, Why: why} }

func (p *Plan) backend(from, to Backend) {
	if from.Name != to.Name || from.Text != to.Text || from.Static != to.Static {
		*p = reload("pool " + from.Name + " differs")
		return
	}
	old := byName(from.Servers)
	for _, s := range to.Servers {
		before, there := old[s.Name]
		delete(old, s.Name)
		switch path := to.Name + "/" + s.Name; {
		case there && (before.Address != s.Address || !slices.Equal(before.Options, s.Options)):
			*p = reload("server " + path + " differs in more than weight and state")
			return
		case !there && (to.Static || !s.dynamic()):
			*p = reload("server " + path + " cannot be added at run time")
			return
		case there:
			p.change(path, before, s)
		default:
			p.add(path, s)
			p.Cookies = p.Cookies || slices.Contains(s.Options, "cookie")
		}
	}
	for _, s := range from.Servers {
		if _, gone := old[s.Name]; gone {
			p.remove(to.Name + "/" + s.Name)
		}
	}
}

func byName(servers []Server) map[string]Server {
	m := make(map[string]Server, len(servers))
	for _, s := range servers {
		m[s.Name] = s
	}
	return m
}

func (p *Plan) command(format string, args ...any) {
	p.Commands = append(p.Commands, fmt.Sprintf(format, args...))
}

func (p *Plan) change(path string, before, s Server) {
	if before.Weight != s.Weight {
		p.command("set server %s weight %d", path, s.Weight)
	}
	if before.Disabled != s.Disabled {
		p.state(path, s)
	}
}

func (p *Plan) state(path string, s Server) {
	state := "ready"
	if s.Disabled {
		state = "maint"
	}
	p.command("set server %s state %s", path, state)
}

// add makes a server, which HAProxy begins in maintenance and unchecked
// (management manual, "add server").
func (p *Plan) add(path string, s Server) {
	p.command("add server %s %s %s", path, s.Address, strings.Join(s.words(), " "))
	if slices.Contains(s.Options, "check") {
		p.command("enable health %s", path)
	}
	if !s.Disabled {
		p.state(path, s)
	}
}

func (p *Plan) remove(path string) {
	p.command("set server %s state maint", path)
	p.Leaving = append(p.Leaving, path)
}

func (s Server) words() []string {
	return append([]string{"weight", strconv.Itoa(s.Weight)}, s.Options...)
}

// dynamic reports whether the runtime API takes the server: it splits words in its
// own way.
func (s Server) dynamic() bool {
	return !slices.ContainsFunc(s.Options, func(w string) bool { return !plain(w) })
}
