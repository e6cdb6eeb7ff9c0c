package container

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// askTimeout bounds one look at a container. A service that loads may accept a
// connection and answer nothing for long.
const askTimeout = 3 * time.Second

func (r *Resource) validateReady(fault func(field, mend, format string, args ...any)) {
	y := r.Ready
	if y == nil {
		return
	}
	given := 0
	for _, is := range []bool{y.TCP != "", y.HTTP != "", y.Unix != "", len(y.Exec) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		fault("ready", "give one of tcp, http, unix and exec", "%d ways to see that it is ready", given)
	}
	if _, _, err := net.SplitHostPort(y.TCP); y.TCP != "" && err != nil {
		fault("ready.tcp", "write ADDRESS:PORT", "%q is no address with a port", y.TCP)
	}
	if u, err := url.Parse(y.HTTP); y.HTTP != "" && (err != nil || u.Port() == "" || u.Scheme != "http") {
		fault("ready.http", "write http://ADDRESS:PORT/PATH", "%q is no URL", y.HTTP)
	}
	if y.Unix != "" && !path.IsAbs(y.Unix) {
		fault("ready.unix", "write an absolute path", "%q is not a path", y.Unix)
	}
	if _, err := duration(y.Timeout, readyTimeout); err != nil {
		fault("ready.timeout", "write it like 60s or 5m", "%q is not a duration", y.Timeout)
	}
}

// ask looks once whether the container does its work.
func (r *Resource) ask(ctx context.Context, h resource.Host) error {
	y := r.Ready
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch {
	case y == nil:
		return nil
	case y.TCP != "":
		return connect(ctx, "tcp", y.TCP)
	case y.Unix != "":
		return connect(ctx, "unix", y.Unix)
	case y.HTTP != "":
		return y.get(ctx)
	}
	pid, err := h.ReadFile(r.pidFile())
	if err != nil {
		return fmt.Errorf("it has no process: %w", err)
	}
	_, err = h.Run(ctx, resource.Command{
		Name: "nsenter", Args: append([]string{"--target", strings.TrimSpace(string(pid)), "--mount", "--"}, y.Exec...), Quiet: true, Reads: true,
	})
	return err
}

func connect(ctx context.Context, network, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// get asks the URL with one request as RFC 9112 has it, and looks at the status
// alone. The host agent is to stay small: a whole HTTP client would make it half
// as large again.
func (y *Ready) get(ctx context.Context) error {
	u, err := url.Parse(y.HTTP)
	if err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: updraft\r\nConnection: close\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 1<<10)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s gives no answer: %w", y.HTTP, err)
	}
	var version string
	var status int
	if _, err := fmt.Sscanf(line, "HTTP/%s %d", &version, &status); err != nil {
		return fmt.Errorf("%s does not answer as HTTP does", y.HTTP)
	}
	if len(y.Status) == 0 && status < serverError || slices.Contains(y.Status, status) {
		return nil
	}
	return fmt.Errorf("%s says %s", y.HTTP, strings.TrimSpace(line))
}

// serverError is the first status by which a server says that it cannot answer
// (RFC 9110, section 15.6).
const serverError = 500

// crashes is how many restarts by systemd tell that a container will never be
// ready: one may be bad luck with the order at a boot.
const crashes = 3

// await waits until the container does its work. One that ends again and again
// is given up at once, with its last words.
func (r *Resource) await(ctx context.Context, h resource.Host) error {
	if r.Ready == nil {
		return nil
	}
	limit, err := duration(r.Ready.Timeout, readyTimeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	first := -1
	policy := retry.Policy{First: 30 * time.Millisecond, Most: 300 * time.Millisecond}
	err = policy.Do(ctx, nil, func(ctx context.Context) error {
		err := r.ask(ctx, h)
		if err == nil {
			return nil
		}
		h.Forget()
		n, state, lookErr := unit.Restarts(ctx, h, r.unitName())
		if first < 0 {
			first = n
		}
		if lookErr == nil && n-first >= crashes {
			return retry.Mark(fmt.Errorf("it ends as soon as it is started (%s, %d times)", state, n-first), retry.Permanent)
		}
		return retry.Mark(err, retry.Transient)
	})
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("container %s is not ready: %w%s", r.Name, err, r.lastWords(context.WithoutCancel(ctx), h))
}

// lastWords are the last lines that the container wrote.
func (r *Resource) lastWords(ctx context.Context, h resource.Host) string {
	out, err := h.Run(ctx, resource.Command{
		Name: "journalctl", Args: []string{"-u", r.unitName(), "-n", "15", "--no-pager", "-o", "cat"}, Quiet: true, Reads: true,
	})
	text := string(bytes.TrimSpace(out.Stdout))
	if err != nil || text == "" {
		return "; see: journalctl -u " + r.unitName()
	}
	return "; see: journalctl -u " + r.unitName() + "; its last words:\n" + text
}
