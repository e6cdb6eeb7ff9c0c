package engine

import "slices"

// rank notes how many steps wait for each task one after the other. Of those that
// are queued, the task with most behind it is started first: where a scope's limit
// lets only some run, what delays the whole run must not wait behind what delays
// nothing. How long steps take is not known here, and need not be: a schema that a
// whole cloud waits for has many behind it.
//
// Source: T. C. Hu, "Parallel Sequencing and Assembly Line Problems", Operations
// Research 9 (1961): the highest level first.
func (r *run) rank() {
	left := make([]int, len(r.tasks))
	order := make([]int32, 0, len(r.tasks))
	for i := range r.tasks {
		if left[i] = r.tasks[i].left; left[i] == 0 {
			order = append(order, int32(i))
		}
	}
	for at := 0; at < len(order); at++ {
		for _, d := range r.tasks[order[at]].dependents {
			if left[d]--; left[d] == 0 {
				order = append(order, d)
			}
		}
	}
	for _, t := range slices.Backward(order) {
		for _, d := range r.tasks[t].dependents {
			r.tasks[t].behind = max(r.tasks[t].behind, r.tasks[d].behind+1)
		}
	}
}

// queue puts a task before those of its scope that less waits for, and after all
// others.
func (r *run) queue(t int32) {
	task := &r.tasks[t]
	task.state = queued
	q := r.queues[task.scope]
	at, _ := slices.BinarySearchFunc(q, task.behind, func(other int32, behind int) int {
		if r.tasks[other].behind >= behind {
			return -1
		}
		return 1
	})
	r.queues[task.scope] = slices.Insert(q, at, t)
}
