package ssh

import (
	"context"
	"sync"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// jumps holds the connections to jump hosts, each as long as a connection goes
// through it.
type jumps struct {
	mu    sync.Mutex
	hosts map[string]*jump
}

type jump struct {
	ready chan struct{} // closed when conn or err is set
	conn  *Conn
	err   error
	users int
}

// route identifies the way to a target.
func route(t transport.Target) string {
	r := t.User + "@" + address(t)
	if t.Jump != nil {
		r += " " + route(withDefaults(*t.Jump))
	}
	return r
}

// open returns a connection to the jump host, which is shared with others, and
// what to call when it is no longer needed.
func (js *jumps) open(ctx context.Context, d *Dialer, t transport.Target) (*Conn, func(), error) {
	key := route(t)
	j, mine := js.join(key)
	if mine {
		j.conn, j.err = d.connect(ctx, t)
		close(j.ready)
	}
	select {
	case <-j.ready:
	case <-ctx.Done():
		js.leave(key, j)
		return nil, nil, retry.Mark(ctx.Err(), retry.Unreachable)
	}
	if j.err != nil {
		js.leave(key, j)
		return nil, nil, j.err
	}
	return j.conn, sync.OnceFunc(func() { js.leave(key, j) }), nil
}

// join returns the jump of that key; mine tells the caller to connect it.
func (js *jumps) join(key string) (j *jump, mine bool) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j = js.hosts[key]; j == nil || j.dead() {
		if js.hosts == nil {
			js.hosts = map[string]*jump{}
		}
		j, mine = &jump{ready: make(chan struct{})}, true
		js.hosts[key] = j
	}
	j.users++
	return j, mine
}

func (j *jump) dead() bool {
	select {
	case <-j.ready:
		return j.err != nil || j.conn.Err() != nil
	default:
		return false
	}
}

// leave gives a share up. The last one closes the connection; it is made by
// then, since who makes it holds a share.
func (js *jumps) leave(key string, j *jump) {
	js.mu.Lock()
	j.users--
	last := j.users == 0
	if last && js.hosts[key] == j {
		delete(js.hosts, key)
	}
	js.mu.Unlock()
	if last && j.conn != nil {
		_ = j.conn.Close()
	}
}
