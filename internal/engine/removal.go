package engine

import "slices"

// timeRemovals says when each thing is removed. What is removed on a host goes first, since
// something else may want its place; what is removed by the deployer (machines,
// networks) goes last, when nothing refers to it any more, together with what
// outlives that; except what has something that another is to get, such as the
// address of a machine that was renamed.
func (p *Plan) timeRemovals() {
	claimants, behind := p.graph.claimants(), map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Action != Remove {
			continue
		}
		behind[s.ID] = s.Scope == "" || slices.ContainsFunc(s.removal.Outlives, func(id string) bool { return behind[id] })
		if behind[s.ID] {
			s.heirs = heirs(claimants, s.removal.Claims)
		}
		s.last = behind[s.ID] && len(s.heirs) == 0
	}
}

// pokes returns the nodes that act on a removal, and on what goes along: none on one
// that comes when all have done their part, to which nothing refers by then.
func (s *Step) pokes() []string {
	if s.last {
		return nil
	}
	return slices.Concat(s.removal.Pokes, s.also)
}

// addRemovals chains removals in the plan's order within each scope, and those that
// come last. Those that act on a removal come after it.
func (r *run) addRemovals() {
	chains, tasks := map[string][]int32{}, map[string]int32{}
	var early []int32
	for i := range r.p.Steps {
		if r.p.Steps[i].Action != Remove {
			continue
		}
		t, step := int32(len(r.tasks)), &r.p.Steps[i]
		r.tasks = append(r.tasks, task{scope: step.Scope})
		r.removes = append(r.removes, step)
		r.outlive(t, step, tasks)
		tasks[step.ID] = t
		for _, id := range step.pokes() {
			r.poked[id] = append(r.poked[id], t)
			if poked, ok := r.p.graph.edges.Lookup(id); ok {
				r.edge(t, poked)
			}
		}
		for _, i := range step.heirs {
			r.edge(t, i)
		}
		switch {
		case step.last:
			chains[""] = append(chains[""], t)
		case len(step.heirs) > 0:
			early, r.heirs[t] = append(early, t), step.heirs
		default:
			chains[step.Scope] = append(chains[step.Scope], t)
		}
	}
	r.lead(chains, early)
	r.chain(chains, early)
}

// lead has all other removals outlive those of the scopes that go first.
func (r *run) lead(chains map[string][]int32, early []int32) {
	leads := func(scope string) bool { s := r.p.graph.scopes[scope]; return s != nil && s.Leads }
	var leading, others []int32
	for scope, chain := range chains {
		if leads(scope) {
			leading = append(leading, chain...)
		} else {
			others = append(others, chain...)
		}
	}
	for _, before := range leading {
		for _, t := range slices.Concat(others, early) {
			r.outlived[t] = append(r.outlived[t], before)
			r.edge(before, t)
		}
	}
}

// outlive adds edges from the removals that a step must not precede.
func (r *run) outlive(t int32, step *Step, tasks map[string]int32) {
	for _, id := range step.removal.Outlives {
		if before, ok := tasks[id]; ok { // in the plan's order, so that there is no cycle
			r.outlived[t] = append(r.outlived[t], before)
			r.edge(before, t)
		}
	}
}

// chain adds the edges of the chains of removals, by scope.
func (r *run) chain(chains map[string][]int32, early []int32) {
	last := chains[""]
	for name, chain := range chains {
		for k := 1; k < len(chain); k++ {
			r.edge(chain[k-1], chain[k])
		}
		end := chain[len(chain)-1]
		if s := r.p.graph.scopes[name]; name != "" && s != nil {
			for _, i := range s.nodes {
				r.edge(end, i)
			}
		}
		if name != "" && len(last) > 0 {
			r.edge(end, last[0])
		}
	}
	if len(last) == 0 {
		return
	}
	for i := range int32(len(r.p.graph.nodes)) {
		r.edge(i, last[0])
	}
	for _, before := range early {
		r.edge(before, last[0])
	}
}

// heirs returns the nodes that claim any of these.
func heirs(claimants map[string][]int32, claims []string) []int32 {
	var out []int32
	for _, c := range claims {
		out = append(out, claimants[c]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
