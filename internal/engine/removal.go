package engine

import "slices"

// addRemovals chains removals in the plan's order within each scope. What is
// removed on a host goes first, since something else may want its place; what
// is removed by the deployer (machines, networks) goes last, when nothing
// refers to it any more, together with what outlives that; except what has
// something that another is to get, such as the address of a machine that was
// renamed.
func (r *run) addRemovals() {
	chains, tasks := map[string][]int32{}, map[string]int32{}
	claimants := r.p.graph.claimants()
	var early []int32
	for i := range r.p.Steps {
		if r.p.Steps[i].Action != Remove {
			continue
		}
		t, step := int32(len(r.tasks)), &r.p.Steps[i]
		r.tasks = append(r.tasks, task{scope: step.Scope})
		r.removes = append(r.removes, step)
		for _, id := range step.removal.Pokes {
			r.poked[id] = append(r.poked[id], t)
		}
		chain := step.Scope
		if r.outlives(t, step, tasks) {
			chain = ""
		}
		tasks[step.ID] = t
		heirs := heirs(claimants, step.removal.Claims)
		if chain == "" && len(heirs) > 0 {
			for _, i := range heirs {
				r.edge(t, i)
			}
			early = append(early, t)
			r.heirs[t] = heirs
			continue
		}
		chains[chain] = append(chains[chain], t)
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

// outlives adds edges from the removals that a step must not precede, and reports
// whether one of them is the deployer's.
func (r *run) outlives(t int32, step *Step, tasks map[string]int32) (last bool) {
	for _, id := range step.removal.Outlives {
		if before, ok := tasks[id]; ok { // in the plan's order, so that there is no cycle
			r.outlived[t] = append(r.outlived[t], before)
			r.edge(before, t)
			last = last || r.tasks[before].scope == ""
		}
	}
	return last
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
