package fakehost

import (
	"slices"
	"strconv"
	"strings"
)

// change carries out a command of ip(8) that changes something. It returns why
// the kernel refuses it, and whether the fake knows it.
func (n *Network) change(f *FS, w []string) (reason string, known bool) {
	if len(w) > 0 && w[0] == "-6" {
		w = w[1:]
	}
	if len(w) < 4 {
		return "", false
	}
	switch w[0] + " " + w[1] {
	case "link add":
		return n.linkAdd(f, w[2:])
	case "link set":
		return n.linkSet(w[2:])
	case "link delete":
		if n.link(w[3]) == nil {
			return "Cannot find device \"" + w[3] + "\"", true
		}
		n.remove(f, w[3])
		return "", true
	case "address replace", "address delete":
		return n.address(w)
	case "route replace":
		r := fakeRoute{family: "-4", dst: w[2]}
		for i := 3; i+1 < len(w); i += 2 {
			switch w[i] {
			case "via":
				r.via = w[i+1]
			case "dev":
				r.dev = w[i+1]
			default:
				return "", false
			}
		}
		if l := n.link(r.dev); l == nil || !l.up {
			return "RTNETLINK answers: Network is unreachable", true
		}
		n.routes = append(n.routes, r.sorted())
		return "", true
	}
	return "", false
}

func (n *Network) linkAdd(f *FS, w []string) (string, bool) {
	l, peer := &fakeLink{}, ""
	if at := slices.Index(w, "peer"); at > 0 && len(w) == at+3 && w[at+1] == "name" {
		w, peer = w[:at], w[at+2]
	}
	for i := 0; i+1 < len(w); i += 2 {
		switch w[i] {
		case "name":
			l.name = w[i+1]
		case "link":
			l.parent = w[i+1]
		case "type":
			l.kind = w[i+1]
		case "id":
			l.id, _ = strconv.Atoi(w[i+1])
		case "mode":
			l.mode = w[i+1]
		default:
			return "", false
		}
	}
	switch {
	case !slices.Contains([]string{"veth", "bridge", "bond", "vlan"}, l.kind) || (l.kind == "veth") != (peer != ""):
		return "", false
	case n.link(l.name) != nil:
		return "RTNETLINK answers: File exists", true
	case l.parent != "" && n.link(l.parent) == nil:
		return "Cannot find device \"" + l.parent + "\"", true
	}
	n.add(f, l)
	if peer != "" {
		n.add(f, &fakeLink{name: peer, kind: l.kind})
	}
	return "", true
}

func (n *Network) linkSet(w []string) (string, bool) {
	if w[0] != "dev" || len(w) < 3 {
		return "", false
	}
	l := n.link(w[1])
	if l == nil {
		return "Cannot find device \"" + w[1] + "\"", true
	}
	for i := 2; i < len(w); i++ {
		switch w[i] {
		case "up":
			l.up = true
		case "down": // which takes routes and IPv6 addresses along
			l.up = false
			l.addrs = slices.DeleteFunc(l.addrs, func(a string) bool { return strings.Contains(a, ":") })
			n.routes = slices.DeleteFunc(n.routes, func(r fakeRoute) bool { return r.dev == l.name })
		case "nomaster":
			l.master = ""
		case "master", "mtu":
			if i+1 == len(w) {
				return "", false
			}
			if w[i] == "mtu" {
				l.mtu, _ = strconv.Atoi(w[i+1])
			} else if m := n.link(w[i+1]); m == nil || m.kind == "bond" && l.up {
				return "RTNETLINK answers: Operation not permitted", true
			} else {
				l.master = w[i+1]
			}
			i++
		default:
			return "", false
		}
	}
	return "", true
}

func (n *Network) address(w []string) (string, bool) {
	if len(w) != 5 || w[3] != "dev" || !strings.Contains(w[2], "/") {
		return "", false
	}
	l := n.link(w[4])
	if l == nil {
		return "Cannot find device \"" + w[4] + "\"", true
	}
	has := slices.Contains(l.addrs, w[2])
	switch {
	case w[1] == "delete" && !has:
		return "RTNETLINK answers: Cannot assign requested address", true
	case w[1] == "delete":
		l.addrs = slices.DeleteFunc(l.addrs, func(a string) bool { return a == w[2] })
		if len(l.addrs) == 0 {
			n.routes = slices.DeleteFunc(n.routes, func(r fakeRoute) bool { return r.dev == l.name })
		}
	case !has:
		l.addrs = append(l.addrs, w[2])
	}
	return "", true
}
