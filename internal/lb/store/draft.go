package store

import "github.com/updraft-cloud/updraft/internal/lb/model"

// draft is a tree in the making: lists are copied when they are first changed.
type draft struct {
	tree  Tree
	owned [model.KindAmphora + 1]bool
	// spots are the listeners and members by what only one of them may have. They
	// are there once that was asked more than once.
	spots map[spot]model.Stored
	asked bool
}

// spot is what tells listeners of a load balancer, or members of a pool, apart.
type spot struct {
	parent, address string
	protocol        model.Protocol
	port            int
}

func spotOf(o model.Stored) (spot, bool) {
	switch o := o.(type) {
	case *model.Listener:
		return spot{protocol: o.Protocol.L4(), port: o.ProtocolPort}, true
	case *model.Member:
		return spot{parent: o.PoolID, address: o.Address, port: o.ProtocolPort}, true
	}
	return spot{}, false
}

func newDraft(t *Tree) *draft {
	if t == nil {
		return &draft{}
	}
	return &draft{tree: *t}
}

// put stores an object; fresh says that it was not there.
func (d *draft) put(o model.Stored, fresh bool) {
	d.own(o.Kind())
	familyOf[o.Kind()].put(&d.tree.kids, o, fresh)
	if s, ok := spotOf(o); ok && d.spots != nil {
		d.spots[s] = o
	}
}

func (d *draft) remove(k model.Kind, id string) {
	d.own(k)
	familyOf[k].remove(&d.tree.kids, id)
	d.spots = nil
}

func (d *draft) own(k model.Kind) {
	if !d.owned[k] {
		familyOf[k].own(&d.tree.kids)
		d.owned[k] = true
	}
}

// freeze returns the tree as it is now; the draft may go on.
func (d *draft) freeze() *Tree {
	t := d.tree
	clear(d.owned[:])
	return &t
}

// taken returns who has the spot of a new listener or member, nil when nobody has.
func (d *draft) taken(o model.Stored) model.Stored {
	want, _ := spotOf(o)
	if d.spots != nil {
		return d.spots[want]
	}
	var found model.Stored
	all := map[spot]model.Stored{}
	look := func(o model.Stored) {
		s, _ := spotOf(o)
		if s == want {
			found = o
		}
		if d.asked {
			all[s] = o
		}
	}
	for _, l := range d.tree.listeners {
		look(l)
	}
	for _, m := range d.tree.members {
		look(m)
	}
	if d.asked {
		d.spots = all
	}
	d.asked = true
	return found
}
