package guard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// View is what Galera keeps on disk of the last primary component that it was in
// (gvwstate.dat). It writes it before anything is committed there, and removes it
// when the server leaves in order.
//
// Source: Galera's gcomm/src/pc.cpp and view.cpp.
type View struct {
	// ID is UUID:NUMBER. Numbers rise from view to view.
	ID string `json:"id"`
	// Self is by which UUID the server was in it, Members are those of all, without
	// the part that counts how often a server was started (see [identity]).
	Self    string   `json:"self"`
	Members []string `json:"members"`
}

// Number is the view's, or -1 without a view.
func (v View) Number() int64 {
	_, number, _ := strings.Cut(v.ID, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// identity is what of a member's UUID stays when it is started anew: all but the
// fourth group, which Galera raises by one each time.
//
// Source: Galera's gcomm/src/uuid.hpp (incarnation).
func identity(uuid string) string {
	const incarnation = 3
	groups := strings.Split(uuid, "-")
	if len(groups) > incarnation {
		groups = slices.Delete(groups, incarnation, incarnation+1)
	}
	return strings.Join(groups, "-")
}

// ParseView reads gvwstate.dat. A view that the server itself was not in is an error.
func ParseView(text string) (View, error) {
	var v View
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "my_uuid:":
			v.Self = identity(words[1])
		case len(words) == 4 && words[0] == "view_id:":
			v.ID = words[2] + ":" + words[3]
		case len(words) == 3 && words[0] == "member:":
			v.Members = append(v.Members, identity(words[1]))
		}
	}
	if v.Number() < 0 || !slices.Contains(v.Members, v.Self) {
		return View{}, fmt.Errorf("cannot read a view: %q has no number, or %q is not among %d members", v.ID, v.Self, len(v.Members))
	}
	return v, nil
}

// Position is how far a server's data are.
type Position struct {
	// UUID is that of the cluster's history, Seqno the last transaction's number.
	UUID  string `json:"uuid"`
	Seqno int64  `json:"seqno"`
}

// Known reports whether it is a position at all: a server whose data are being
// copied has none.
func (p Position) Known() bool {
	return p.Seqno >= 0 && strings.Trim(p.UUID, "0-") != ""
}

// ParsePosition reads UUID:SEQNO, after which a comma and more may come.
func ParsePosition(text string) (Position, error) {
	text, _, _ = strings.Cut(text, ",")
	uuid, number, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("cannot read a position of %q: %w", text, err)
	}
	return Position{UUID: uuid, Seqno: n}, nil
}
