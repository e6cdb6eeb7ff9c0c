package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

// askTimeout bounds one look at a container. A service that loads may accept a
// connection and answer nothing for long.
const askTimeout = 3 * time.Second

func (r *Resource) validateReady(fault faultFunc) {
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
	if u, err := url.Parse(y.HTTP); y.HTTP != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		fault("ready.http", "write http://ADDRESS:PORT/PATH", "%q is no URL", y.HTTP)
	}
	if y.CAFile != "" && (!path.IsAbs(y.CAFile) || !strings.HasPrefix(y.HTTP, "https:")) {
		fault("ready.ca_file", "write an absolute path, and an https URL", "%q are no authorities of a URL", y.CAFile)
	}
	if y.Unix != "" && !path.IsAbs(y.Unix) {
		fault("ready.unix", "write an absolute path", "%q is not a path", y.Unix)
	}
	if _, err := duration(y.Timeout, readyTimeout); err != nil {
		fault("ready.timeout", "write it like 60s or 5m", "%q is not a duration", y.Timeout)
	}
}

// Settles reports whether it may come right by itself: a member that joins a
// cluster answers, and for a moment does not when the next one joins.
func (*Resource) Settles(attr string) bool { return attr == "ready" }

// said is the outcome of a look.
type said struct{ err error }

// answer is ask, once until something changes.
func (r *Resource) answer(ctx context.Context, h resource.Host) error {
	v, err := h.Memo("container: ready "+r.Name, func() (any, error) {
		if r.isKnown(ctx, h) {
			return said{}, nil
		}
		return said{r.ask(ctx, h)}, nil
	})
	if err != nil {
		return err
	}
	return v.(said).err
}

// asksOnce reports whether a look costs so much, a process, that a container which
// has been seen ready is not asked again.
func (r *Resource) asksOnce() bool { return r.Ready != nil && len(r.Ready.Exec) > 0 && !r.Ready.Always }

// begun reports whether updraft has not seen the end of a start.
func (r *Resource) begun(h resource.Host) (bool, error) {
	if !r.asksOnce() {
		return false, nil
	}
	return conffile.Exists(h, r.mark().Path)
}

// isKnown reports whether there is no need to ask: no start is unfinished, and the
// process is older than the time within which it had to be ready, so that it is
// not one that has just come up with the host or after a crash.
func (r *Resource) isKnown(ctx context.Context, h resource.Host) bool {
	if !r.asksOnce() {
		return false
	}
	limit, err := duration(r.Ready.Timeout, readyTimeout)
	if err != nil {
		return false
	}
	s, err := unit.Look(ctx, h, r.unitName())
	return err == nil && time.Since(s.Started) > limit
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
	case strings.HasPrefix(y.HTTP, "https:"):
		return y.getTLS(ctx, h)
	case y.HTTP != "":
		return y.get(ctx)
	}
	return r.enter(ctx, h)
}

// enter runs the program in the container's file system. podman exec, which also
// makes the other namespaces and a session of it, takes fifteen times as long.
func (r *Resource) enter(ctx context.Context, h resource.Host) error {
	pid, err := h.ReadFile(r.pidFile())
	if err != nil {
		return fmt.Errorf("it has no process: %w", err)
	}
	_, err = h.Run(ctx, resource.Command{
		Name: "nsenter", Args: append([]string{"--target", strings.TrimSpace(string(pid)), "--mount", "--"}, r.Ready.Exec...), Quiet: true, Reads: true,
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
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "80")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
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
	return y.judge(status)
}

// getTLS asks an https URL with curl: the TLS of the standard library would add a
// quarter to what the host agent takes in memory, and few containers serve it.
func (y *Ready) getTLS(ctx context.Context, h resource.Host) error {
	args := []string{"--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", strconv.Itoa(int(askTimeout.Seconds()))}
	if y.CAFile != "" {
		args = append(args, "--cacert", y.CAFile)
	}
	out, err := h.Run(ctx, resource.Command{Name: "curl", Args: append(args, "--", y.HTTP), Quiet: true, Reads: true})
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the host has no curl, which asks https URLs")
	}
	if err != nil {
		return err
	}
	status, err := strconv.Atoi(strings.TrimSpace(string(out.Stdout)))
	if err != nil {
		return fmt.Errorf("%s does not answer as HTTP does", y.HTTP)
	}
	return y.judge(status)
}

// serverError is the first status by which a server says that it cannot answer
// (RFC 9110, section 15.6).
const serverError = 500

func (y *Ready) judge(status int) error {
	if len(y.Status) == 0 && status < serverError || slices.Contains(y.Status, status) {
		return nil
	}
	return fmt.Errorf("%s answers with status %d", y.HTTP, status)
}
