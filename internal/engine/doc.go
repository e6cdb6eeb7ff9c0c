// Package engine compares a graph of resources with the world and makes the
// world agree.
//
// What it guarantees:
//
//   - [Engine.Plan] changes nothing. The same graph, state and world give the
//     same plan, byte for byte.
//   - [Engine.Apply] does what the plan says, in the order of the edges, with as
//     much parallelism as they and the limits of the scopes allow. A node is
//     applied only when all that it needs is in sync.
//   - Before a node is applied or removed, the intent is durable in the
//     [Store]; afterwards the outcome is. Killed at any point, the next run
//     observes the world again and finishes the job.
//   - A failing node stops those that need it and nothing else.
//   - What updraft made and the graph no longer holds is removed; nothing else
//     is ever removed.
//
// The engine knows nothing of hosts, machines or files. An [Executor] does the
// work of a scope; retrying is the engine's alone, by the class of the error
// (package retry).
package engine
