package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// requests are sent over connections that stay, one after the other on each. The
// client is small, since it takes from the processor that it measures.
type requests struct {
	dial    func() (net.Conn, error)
	clients int
	total   int
	// bytes returns the n-th request as it goes over the wire.
	bytes func(n int) []byte
	want  int // status
}

// outcome is what they took.
type outcome struct {
	took  time.Duration
	times []time.Duration // sorted
	bytes int64           // of the last answer
}

func (o outcome) rate() float64 { return float64(len(o.times)) / o.took.Seconds() }

// quantile in milliseconds.
func (o outcome) quantile(q float64) float64 {
	return float64(o.times[min(len(o.times)-1, int(q*float64(len(o.times))))].Microseconds()) / 1000
}

func (r requests) run() (outcome, error) {
	var mu sync.Mutex
	var out outcome
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for c := range r.clients {
		wg.Go(func() {
			times, last, err := r.client(c)
			mu.Lock()
			defer mu.Unlock()
			out.times, out.bytes = append(out.times, times...), last
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	out.took = time.Since(start)
	slices.Sort(out.times)
	return out, failed
}

func (r requests) client(c int) (times []time.Duration, last int64, err error) {
	conn, err := r.dial()
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	times = make([]time.Duration, 0, r.total/r.clients+1)
	for n := c; n < r.total; n += r.clients {
		start := time.Now()
		if _, err := conn.Write(r.bytes(n)); err != nil {
			return times, last, err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return times, last, err
		}
		if last, err = io.Copy(io.Discard, resp.Body); err != nil {
			return times, last, err
		}
		resp.Body.Close()
		if resp.StatusCode != r.want {
			return times, last, fmt.Errorf("request %d was answered %s instead of %d", n, resp.Status, r.want)
		}
		times = append(times, time.Since(start))
	}
	return times, last, nil
}

func get(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: lb\r\nAccept: application/json\r\n\r\n")
}

func post(path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: lb\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}
