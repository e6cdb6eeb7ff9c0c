package api

import (
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// showOne answers with one object. Its owner is asked about by the caller.
func showOne[T any](c *call, k *kind[T], o T) error {
	var fields []string
	if c.r.URL.RawQuery != "" {
		fields = c.r.URL.Query()["fields"]
	}
	respond(c, http.StatusOK, k, o, fields)
	return nil
}

// respond answers with an object under its key.
func respond[T any](c *call, status int, k *kind[T], o T, fields []string) {
	c.send(status, func(b []byte) []byte {
		b = append(b, `{"`...)
		b = append(b, k.one...)
		b = append(b, `":`...)
		b = appendObject(b, o, k.chosen(fields))
		return append(b, '}')
	})
}

// showList answers with a page of a list.
func showList[T any](c *call, k *kind[T], q *query, from source[T]) error {
	page, err := k.page(q, from)
	if err != nil {
		return err
	}
	base := c.address()
	c.send(http.StatusOK, func(b []byte) []byte { return k.appendPage(b, q, page, base) })
	return nil
}

// among is a list that is complete.
func among[T any](k *kind[T], items []T) source[T] {
	return source[T]{all: slices.Values(items), marker: func(id string) (T, bool) {
		i := slices.IndexFunc(items, func(o T) bool { return k.id(o) == id })
		if i < 0 {
			var none T
			return none, false
		}
		return items[i], true
	}}
}

// listTrees answers with all objects of a kind that is in trees; sorted says that
// they are by creation when the trees are.
func listTrees[M based](c *call, k *kind[row[M]], sorted bool, of func(*store.Tree) []M, find func(id string) (M, *store.Tree)) error {
	q, err := parseQuery(c.r, c.s.settings.MaxPage)
	if err != nil {
		return err
	}
	project, err := c.scope(q)
	if err != nil {
		return err
	}
	return showList(c, k, q, source[row[M]]{all: func(yield func(row[M]) bool) {
		for t := range c.trees(q, project) {
			for _, o := range of(t) {
				if !yield(row[M]{o, t}) {
					return
				}
			}
		}
	}, sorted: sorted, marker: func(id string) (row[M], bool) {
		o, t := find(id)
		return row[M]{o, t}, t != nil
	}})
}

// trees are the load balancers of a project that are not deleted; only one if
// the filters name it.
func (c *call) trees(q *query, project string) func(func(*store.Tree) bool) {
	return func(yield func(*store.Tree) bool) {
		live := func(t *store.Tree) bool { return t.LB.ProvisioningStatus != model.Deleted }
		for _, f := range q.filters {
			if f.name == "loadbalancer_id" || f.name == "load_balancer_id" {
				if t := c.snap.Tree(f.value); t != nil && live(t) && (project == "" || t.LB.ProjectID == project) {
					yield(t)
				}
				return
			}
		}
		for t := range c.snap.Trees(project) {
			if live(t) && !yield(t) {
				return
			}
		}
	}
}

// tree finds a load balancer that is not deleted.
func (c *call) tree(id string) (*store.Tree, *fault) {
	t := c.snap.Tree(id)
	if t == nil || t.LB.ProvisioningStatus == model.Deleted {
		return nil, notFound("Load Balancer", id)
	}
	return t, nil
}

// find finds a child by the path or a body, and asks the policy.
func find[M based](c *call, title, id string, get func(id string) (M, *store.Tree)) (M, *store.Tree, *fault) {
	o, t := get(id)
	if t == nil {
		return o, nil, notFound(title, id)
	}
	return o, t, c.authorize(t.LB.ProjectID)
}

// show answers with a child.
func show[M based](c *call, k *kind[row[M]], title, id string, get func(id string) (M, *store.Tree)) error {
	o, t, err := find(c, title, id, get)
	if err != nil {
		return err
	}
	return showOne(c, k, row[M]{o, t})
}

func (s *Server) listLoadBalancers(c *call) error {
	return listTrees(c, s.kinds.lb, true, func(t *store.Tree) []*model.LoadBalancer { return []*model.LoadBalancer{t.LB} },
		func(id string) (*model.LoadBalancer, *store.Tree) {
			t := c.snap.Tree(id)
			if t == nil {
				return nil, nil
			}
			return t.LB, t
		})
}

func (s *Server) listListeners(c *call) error {
	return listTrees(c, s.kinds.listener, false, (*store.Tree).Listeners, c.snap.Listener)
}

func (s *Server) listPools(c *call) error {
	return listTrees(c, s.kinds.pool, false, (*store.Tree).Pools, c.snap.Pool)
}

func (s *Server) listMonitors(c *call) error {
	return listTrees(c, s.kinds.monitor, false, (*store.Tree).HealthMonitors, c.snap.HealthMonitor)
}

func (s *Server) listPolicies(c *call) error {
	return listTrees(c, s.kinds.policy, false, (*store.Tree).AllL7Policies, c.snap.L7Policy)
}

func (s *Server) showLoadBalancer(c *call) error {
	t, err := c.ownTree()
	if err != nil {
		return err
	}
	return showOne(c, s.kinds.lb, lbRow{t.LB, t})
}

// ownTree is the load balancer that the path names, which the caller may see.
func (c *call) ownTree() (*store.Tree, *fault) {
	t, err := c.tree(c.values[0])
	if err != nil {
		return nil, err
	}
	return t, c.authorize(t.LB.ProjectID)
}

func (s *Server) showStatuses(c *call) error {
	t, err := c.ownTree()
	if err != nil {
		return err
	}
	c.send(http.StatusOK, func(b []byte) []byte { return appendStatusTree(b, t) })
	return nil
}

func (s *Server) showLoadBalancerStats(c *call) error {
	t, err := c.ownTree()
	if err != nil {
		return err
	}
	return c.stats(t, "")
}

func (c *call) stats(t *store.Tree, listener string) error {
	sum := listenerStats(t, c.snap.Stats(t.LB.ID), listener)
	c.send(http.StatusOK, func(b []byte) []byte {
		b = append(b, `{"stats":{`...)
		return append(appendStats(b, sum), "}}"...)
	})
	return nil
}

func (s *Server) showListener(c *call) error {
	return show(c, s.kinds.listener, "Listener", c.values[0], c.snap.Listener)
}

func (s *Server) showListenerStats(c *call) error {
	l, t, err := find(c, "Listener", c.values[0], c.snap.Listener)
	if err != nil {
		return err
	}
	return c.stats(t, l.ID)
}

func (s *Server) showPool(c *call) error {
	return show(c, s.kinds.pool, "Pool", c.values[0], c.snap.Pool)
}

func (s *Server) showMonitor(c *call) error {
	return show(c, s.kinds.monitor, "Health Monitor", c.values[0], c.snap.HealthMonitor)
}

func (s *Server) showPolicy(c *call) error {
	return show(c, s.kinds.policy, "L7Policy", c.values[0], c.snap.L7Policy)
}

// parentPool is the pool in the path of members. That it is missing is found
// while the path is looked up, and told in that shape.
func (c *call) parentPool() (*model.Pool, *store.Tree, *fault) {
	p, t := c.snap.Pool(c.values[0])
	if t == nil {
		return nil, nil, inPath(notFound("Pool", c.values[0]))
	}
	return p, t, nil
}

func (c *call) parentPolicy() (*model.L7Policy, *store.Tree, *fault) {
	p, t := c.snap.L7Policy(c.values[0])
	if t == nil {
		return nil, nil, inPath(notFound("L7Policy", c.values[0]))
	}
	return p, t, nil
}

// inPath gives a fault the shape of those about paths; Octavia titles them all so.
func inPath(f *fault) *fault {
	f.title = "Bad Request"
	return f
}

func (s *Server) listMembers(c *call) error {
	p, t, err := c.parentPool()
	if err != nil {
		return err
	}
	return listBelow(c, s.kinds.member, t, t.Members(p.ID))
}

func (s *Server) listRules(c *call) error {
	p, t, err := c.parentPolicy()
	if err != nil {
		return err
	}
	return listBelow(c, s.kinds.rule, t, t.L7Rules(p.ID))
}

// listBelow answers with children of one parent.
func listBelow[M based](c *call, k *kind[row[M]], t *store.Tree, list []M) error {
	q, err := parseQuery(c.r, c.s.settings.MaxPage)
	if err != nil {
		return err
	}
	if err := c.authorize(t.LB.ProjectID); err != nil {
		return err
	}
	var items []row[M]
	for _, o := range list {
		if !q.hasProject || q.project == t.LB.ProjectID {
			items = append(items, row[M]{o, t})
		}
	}
	return showList(c, k, q, among(k, items))
}

// ownMember is the member that the path names, in the pool that it names.
func (c *call) ownMember() (*model.Member, *store.Tree, *fault) {
	if _, _, err := c.parentPool(); err != nil {
		return nil, nil, err
	}
	m, t, err := find(c, "Member", c.values[1], c.snap.Member)
	if err == nil && m.PoolID != c.values[0] {
		err = notFound("Member", c.values[1])
	}
	return m, t, err
}

func (s *Server) showMember(c *call) error {
	m, t, err := c.ownMember()
	if err != nil {
		return err
	}
	return showOne(c, s.kinds.member, memberRow{m, t})
}

func (c *call) ownRule() (*model.L7Rule, *store.Tree, *fault) {
	if _, _, err := c.parentPolicy(); err != nil {
		return nil, nil, err
	}
	r, t, err := find(c, "L7Rule", c.values[1], c.snap.L7Rule)
	if err == nil && r.L7PolicyID != c.values[0] {
		err = notFound("L7Rule", c.values[1])
	}
	return r, t, err
}

func (s *Server) showRule(c *call) error {
	r, t, err := c.ownRule()
	if err != nil {
		return err
	}
	return showOne(c, s.kinds.rule, ruleRow{r, t})
}
