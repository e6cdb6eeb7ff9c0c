package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ask makes a request over a connection of its own and returns who answered.
func (p *place) ask(ctx context.Context, addr string, patience time.Duration) (string, error) {
	conn, err := p.dial(ctx, addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	who, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s", resp.Status)
	}
	return string(who), err
}

// answers are what clients saw: when a request began and who answered it.
type answers struct {
	mu   sync.Mutex
	all  []answer
	lost int
	why  error
}

type answer struct {
	began time.Time
	who   string
}

// watch asks all the time, with three clients.
func (p *place) watch(ctx context.Context, addr string) (*answers, func()) {
	a := &answers{}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				who, err := p.ask(ctx, addr, 5*time.Second)
				if ctx.Err() != nil {
					return
				}
				a.add(began, who, err)
			}
		})
	}
	return a, func() { cancel(); wg.Wait() }
}

func (a *answers) add(began time.Time, who string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.lost++
		a.why = err
		return
	}
	a.all = append(a.all, answer{began, who})
}

// last returns when the last request began that a member answered, and first the
// first after a time.
func (a *answers) last(who string) (at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.all {
		if r.who == who && r.began.After(at) {
			at = r.began
		}
	}
	return at
}

func (a *answers) first(who string, after time.Time) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.all {
		if r.who == who && r.began.After(after) {
			return r.began, true
		}
	}
	return time.Time{}, false
}

// memberChanges switches a member off and on while clients ask, and an answer
// that takes four seconds is on its way through it.
func (b *bench) memberChanges(ctx context.Context, s *service, p *place, lb string) error {
	path, err := s.memberPath(ctx, lb)
	if err != nil {
		return err
	}
	long := make(chan error, 1)
	go func() { long <- p.download(ctx, vip+":80") }()
	seen, stop := p.watch(ctx, vip+":80")
	var slowest time.Duration
	for range 5 {
		for _, up := range []bool{false, true} {
			took, err := s.switchMember(ctx, lb, path, up, seen)
			if err != nil {
				stop()
				return err
			}
			slowest = max(slowest, took)
		}
	}
	err = <-long
	stop()
	if err != nil {
		seen.add(time.Time{}, "", fmt.Errorf("a long answer was cut: %w", err))
	}
	if seen.lost > 0 {
		b.log("%d of %d requests were lost, such as: %v", seen.lost, len(seen.all), seen.why)
	}
	b.got("member ms", float64(slowest.Microseconds())/1000)
	b.got("member lost", float64(seen.lost))
	return nil
}

// settled is for how long a member that was switched off must stay silent to be
// taken for off.
const settled = 300 * time.Millisecond

// switchMember returns how long after the request the last answer came from a
// member that was switched off, or the first from one that was switched on.
func (s *service) switchMember(ctx context.Context, lb, path string, up bool, seen *answers) (time.Duration, error) {
	start := time.Now()
	body := map[string]any{"member": map[string]any{"admin_state_up": up}}
	if err := s.call(ctx, http.MethodPut, path, body, nil); err != nil {
		return 0, err
	}
	var at time.Time
	err := until(ctx, 10*time.Second, "a change of a member", func() (bool, error) {
		if up {
			var ok bool
			at, ok = seen.first("1", start)
			return ok, nil
		}
		at = seen.last("1")
		return time.Since(at) > settled && time.Since(start) > settled, nil
	})
	if err != nil {
		return 0, err
	}
	return max(0, at.Sub(start)), s.active(ctx, lb)
}

// memberPath finds the first member.
func (s *service) memberPath(ctx context.Context, lb string) (string, error) {
	var got struct {
		Pools []struct {
			ID string `json:"id"`
		} `json:"pools"`
	}
	if err := s.call(ctx, http.MethodGet, "/v2.0/lbaas/pools?loadbalancer_id="+lb, nil, &got); err != nil {
		return "", err
	}
	if len(got.Pools) != 1 {
		return "", errors.New("the load balancer has no pool")
	}
	path := "/v2.0/lbaas/pools/" + got.Pools[0].ID + "/members"
	var members struct {
		Members []struct {
			ID string `json:"id"`
		} `json:"members"`
	}
	if err := s.call(ctx, http.MethodGet, path+"?name=1", nil, &members); err != nil {
		return "", err
	}
	if len(members.Members) != 1 {
		return "", errors.New("the pool has no member 1")
	}
	return path + "/" + members.Members[0].ID, nil
}

// download reads an answer that takes long, to the end.
func (p *place) download(ctx context.Context, addr string) error {
	conn, err := p.dial(ctx, addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && n != 200 {
		err = fmt.Errorf("it ended after %d bytes", n)
	}
	return err
}
