// Package agent is the server on a managed host. It runs as long as its input
// lasts, holds no state, and does what the deployer asks, many things at once.
//
// It guarantees that nothing it started outlives it: when its input ends, or
// nothing is heard for [Options.Silence], every request is cancelled and the
// process groups of their commands are killed. It writes nothing but frames to
// its output.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// Options configure a server.
type Options struct {
	// Hello is sent first; its Protocol is set.
	Hello proto.Hello
	// Registry holds the kinds of resources.
	Registry *resource.Registry
	// Host returns the host, with log as the place for log lines.
	Host func(log func(line string)) resource.Host
	// Workers bounds how many resources are observed at once; GOMAXPROCS when 0.
	Workers int
	// Silence is after how long without a word the deployer is taken for
	// dead; 60 s when 0. It sends a sign of life four times as often.
	Silence time.Duration
	// Idle is called when all requests have been done for a moment; nil for
	// nothing.
	Idle func()
	// Facts returns the reply to the facts operation; nil refuses it.
	Facts func() proto.Facts
}

const defaultSilence = 60 * time.Second

// idleDelay is after how long without a request Idle is called. Requests of one
// run follow each other within milliseconds.
const idleDelay = 200 * time.Millisecond

// server is one session.
type server struct {
	o       Options
	out     *proto.Writer
	workers chan struct{}
	batches batches

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
	idle    *time.Timer
	wg      sync.WaitGroup
}

// ErrSilence means that the deployer has not been heard for too long.
var ErrSilence = errors.New("nothing heard from the deployer")

// Serve handles requests from r until it ends, and returns when all of them
// have. The end of r is no error. When ctx ends, or the deployer falls silent,
// it cancels all requests and returns, while a read from r may be left pending.
func Serve(ctx context.Context, r io.Reader, w io.Writer, o Options) error {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Silence == 0 {
		o.Silence = defaultSilence
	}
	o.Hello.Protocol = proto.Version
	if o.Idle == nil {
		o.Idle = func() {}
	}
	s := &server{o: o, out: proto.NewWriter(w), workers: make(chan struct{}, o.Workers), running: map[uint64]context.CancelFunc{}}
	s.idle = time.AfterFunc(idleDelay, o.Idle)
	defer s.idle.Stop()
	if err := s.out.Write(o.Hello); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	err := s.loop(ctx, cancel, proto.NewReader(r))
	cancel(err)
	s.wg.Wait()
	return err
}

// loop starts a goroutine for each request.
func (s *server) loop(ctx context.Context, cancel context.CancelCauseFunc, r *proto.Reader) error {
	heard := time.AfterFunc(s.o.Silence, func() { cancel(ErrSilence) })
	defer heard.Stop()
	requests, ended := make(chan proto.Request), make(chan error, 1)
	go func() {
		for {
			var req proto.Request
			if err := r.Read(&req); err != nil {
				ended <- err
				return
			}
			select {
			case requests <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case req := <-requests:
			heard.Reset(s.o.Silence)
			s.start(ctx, req)
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("cannot read requests: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *server) start(ctx context.Context, req proto.Request) {
	switch req.Op {
	case proto.OpAlive:
		return
	case proto.OpCancel:
		s.mu.Lock()
		defer s.mu.Unlock()
		if cancel := s.running[req.ID]; cancel != nil {
			cancel()
		}
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.running[req.ID] = cancel
	s.idle.Stop()
	s.mu.Unlock()
	s.wg.Go(func() {
		body, err := s.handle(ctx, req)
		if err != nil && ctx.Err() != nil { // cut off: it is unknown how far it came
			err = retry.Mark(err, retry.Unreachable)
		}
		s.reply(req.ID, body, err)
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, req.ID)
		if len(s.running) == 0 {
			s.idle.Reset(idleDelay)
		}
	})
}

// reply sends the outcome. Nobody is left to tell when that fails: the reader
// will notice as well.
func (s *server) reply(id uint64, body any, err error) {
	r := proto.Reply{ID: id}
	if err == nil && body != nil {
		r.Body, err = json.Marshal(body)
	}
	if err != nil {
		r.Body, r.Err = nil, &proto.Error{Msg: err.Error(), Class: uint8(retry.ClassOf(err))}
	}
	if err := s.out.Write(r); errors.Is(err, proto.ErrTooLarge) {
		_ = s.out.Write(proto.Reply{ID: id, Err: &proto.Error{Msg: err.Error()}})
	}
}

// logger sends lines of a request's log.
func (s *server) logger(id uint64) func(string) {
	return func(line string) { _ = s.out.Write(proto.Reply{ID: id, Log: &line}) }
}

// handle carries one request out. A panic in a kind fails the request, not the
// session.
func (s *server) handle(ctx context.Context, req proto.Request) (body any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.logger(req.ID)(string(debug.Stack()))
			body, err = nil, fmt.Errorf("this is a mistake in updraft: %v", p)
		}
	}()
	log := s.logger(req.ID)
	switch req.Op {
	case proto.OpObserve:
		return with(req, func(o proto.ObserveRequest) (any, error) { return s.observe(ctx, log, o) })
	case proto.OpApply:
		return with(req, func(a proto.ApplyRequest) (any, error) { return nil, s.apply(ctx, log, a) })
	case proto.OpRemove:
		return with(req, func(r proto.RemoveRequest) (any, error) { return nil, s.remove(ctx, log, r) })
	case proto.OpPing:
		return with(req, func(p proto.PingRequest) (any, error) { return ping(ctx, p) })
	case proto.OpExchange:
		return with(req, func(e proto.ExchangeRequest) (any, error) { return exchange(ctx, e) })
	case proto.OpFacts:
		if s.o.Facts != nil {
			return s.o.Facts(), nil
		}
	}
	return nil, fmt.Errorf("operation %q is not known to this host agent", req.Op)
}

// with decodes the request's body for f.
func with[T any](req proto.Request, f func(T) (any, error)) (any, error) {
	var body T
	if err := json.Unmarshal(req.Body, &body); err != nil {
		return nil, fmt.Errorf("cannot decode the request: %w", err)
	}
	return f(body)
}
