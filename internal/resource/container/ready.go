package container

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// crashes is how many restarts by systemd tell that a container will never be
// ready: one may be bad luck with the order at a boot.
const crashes = 3

// await waits until the container does its work. One that ends again and again
// is given up at once, with its last words.
func (r *Resource) await(ctx context.Context, h resource.Host, started unit.Status) error {
	limit, err := duration(r.Ready.Timeout, readyTimeout)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	policy := retry.Policy{First: 30 * time.Millisecond, Most: 300 * time.Millisecond}
	var last error // what it said when there was time to say something
	err = policy.Do(within, nil, func(ctx context.Context) error {
		err := r.ask(ctx, h)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		if n, err := r.restarts(ctx, h, started); err == nil && n >= crashes {
			last = fmt.Errorf("it has ended %d times", n)
			return retry.Mark(last, retry.Permanent)
		}
		return retry.Mark(err, retry.Transient)
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case last == nil:
		last = err
	}
	if within.Err() != nil {
		last = fmt.Errorf("not within %s: %w", limit, last)
	}
	return r.failure(ctx, h, "is not ready", last)
}

// restarts returns how often systemd has restarted the container since it was
// started. A start by hand sets the count to zero.
func (r *Resource) restarts(ctx context.Context, h resource.Host, started unit.Status) (int, error) {
	h.Forget()
	s, err := unit.Look(ctx, h, r.unitName())
	if s.Restarts < started.Restarts {
		return s.Restarts, err
	}
	return s.Restarts - started.Restarts, err
}

// How long a container without a probe is watched after a start: programs that
// reject their configuration end within some tens of milliseconds.
const (
	watchFor   = 300 * time.Millisecond
	watchEvery = 60 * time.Millisecond
)

// settle watches a fresh container that cannot be asked.
func (r *Resource) settle(ctx context.Context, h resource.Host, started unit.Status) error {
	for waited := time.Duration(0); waited < watchFor; waited += watchEvery {
		if !retry.Wait(ctx, watchEvery) {
			return context.Cause(ctx)
		}
		h.Forget()
		s, err := unit.Look(ctx, h, r.unitName())
		if err != nil {
			return err
		}
		if !s.Running || s.Restarts != started.Restarts {
			return r.failure(ctx, h, "does not start", errors.New("it ended right away"))
		}
	}
	return nil
}

// lastWords is how many lines of the journal are shown.
const lastWords = 15

// failure is the error of a container that does not do its work, with its last
// words and what in them is likely to be the cause.
func (r *Resource) failure(ctx context.Context, h resource.Host, what string, why error) error {
	out, err := h.Run(ctx, resource.Command{
		Name: "journalctl", Args: []string{"-u", r.unitName(), "-n", "30", "--no-pager", "-o", "cat"}, Quiet: true, Reads: true,
	})
	lines := slices.DeleteFunc(strings.Split(string(out.Stdout), "\n"), isChatter)
	words := strings.Join(lines[max(0, len(lines)-lastWords):], "\n")
	if err != nil || words == "" {
		return r.explain(what, fmt.Errorf("%w; see: journalctl -u %s", why, r.unitName()))
	}
	return r.explain(what, fmt.Errorf("%w; see: journalctl -u %s; its last words:\n%s", why, r.unitName(), words))
}

// explain puts the likely cause, found in the last words, before an error. What
// comes of a registry that does not answer may go away by itself.
func (r *Resource) explain(what string, err error) error {
	_, words, _ := strings.Cut(err.Error(), "its last words:\n")
	class := retry.ClassOf(err)
	cause := r.cause(words)
	if strings.Contains(words, "pinging container registry") {
		class = retry.Transient
	}
	if cause != "" {
		cause += ": "
	}
	return retry.Mark(fmt.Errorf("container %s %s: %s%w", r.Name, what, cause, err), class)
}

// noiseRE is what systemd and podman write about every container that ends: the
// unit's progress and events.
var noiseRE = regexp.MustCompile(`^(\S+\.service: |Start(ed|ing) |Stopp(ed|ing) |Failed to start |conmon [0-9a-f]+ <|\d{4}-\d\d-\d\d .* container )`)

// chatterRE is what helps nobody: the number that podman prints at a start, what
// conmon looks for in a control group without controllers, and the empty line with
// which oslo.log ends a traceback.
var chatterRE = regexp.MustCompile(`^([0-9a-f]{64}$|\d{4}-\d\d-\d\d \S+ \d+ [A-Z]+ [\w.]+\s*$|conmon [0-9a-f]+ <nwarn>: Failed to (add inotify watch for|open cgroups file: ))`)

func isChatter(line string) bool { return strings.TrimSpace(line) == "" || chatterRE.MatchString(line) }

// cause returns the line of a container's last words that is likely to say why
// it does not run: podman's own error, else the last that the program wrote. What
// was said before the last start but one is not looked at.
func (r *Resource) cause(words string) string {
	lines := slices.DeleteFunc(strings.Split(words, "\n"), isChatter)
	slices.Reverse(lines)
	said := ""
	for _, l := range lines {
		if strings.HasPrefix(l, "Starting "+r.unitName()) && said != "" {
			break
		}
		if e, ok := strings.CutPrefix(l, "Error: "); ok {
			if strings.HasSuffix(e, "image not known") {
				return fmt.Sprintf("image %s is in no store of this host", r.Image)
			}
			return e
		}
		if said == "" && !noiseRE.MatchString(l) {
			said = strings.TrimSpace(l)
		}
	}
	return said
}
