package api

import (
	"net/url"
	"strings"
)

// node is a step of a path: what may follow, and what is served there. The
// standard library's mux would do for the paths, but not for the answers to
// methods and spellings that it does not know, which are part of the contract.
type node struct {
	static  map[string]*node
	value   *node // any segment
	methods map[string]*route
}

func newRouter(routes []*route) *node {
	root := &node{}
	for _, r := range routes {
		n := root
		for seg := range strings.SplitSeq(strings.TrimPrefix(r.path, "/"), "/") {
			n = n.child(seg)
		}
		if n.methods == nil {
			n.methods = map[string]*route{}
		}
		n.methods[r.method] = r
	}
	return root
}

func (n *node) child(seg string) *node {
	if strings.HasPrefix(seg, "{") {
		if n.value == nil {
			n.value = &node{}
		}
		return n.value
	}
	if n.static == nil {
		n.static = map[string]*node{}
	}
	if n.static[seg] == nil {
		n.static[seg] = &node{}
	}
	return n.static[seg]
}

// find returns where an escaped path leads, and the values in it.
func (n *node) find(path string) (*node, [2]string) {
	var values [2]string
	got := 0
	rest := strings.TrimPrefix(path, "/")
	for more := true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		next := n.static[seg]
		if next == nil && n.value != nil && seg != "" && got < len(values) {
			text, err := url.PathUnescape(seg)
			if err != nil {
				return nil, values
			}
			next, values[got], got = n.value, text, got+1
		}
		if next == nil {
			return nil, values
		}
		n = next
	}
	if n.methods == nil {
		return nil, values
	}
	return n, values
}
