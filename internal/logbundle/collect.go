package logbundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Look is something to look at on a host.
type Look struct {
	// File is the name of the file that is made of it.
	File string
	// Script is shell text of root's that changes nothing.
	Script string
}

// Host is a host to collect from.
type Host struct {
	Name  string
	Looks []Look
	// Away says why there is no use in asking it; empty when there is.
	Away string
}

// Bounds of what one host gives.
const (
	maxLook   = 4 << 20 // of one look, in bytes
	maxConfig = 1 << 20 // of one file of configuration
	lookTime  = 60 * time.Second
	// hostsAtOnce and looksAtOnce bound what goes on at a time.
	hostsAtOnce, looksAtOnce = 16, 4
)

// configured is where configuration lies on hosts. Directories of keys and bare
// passwords are left out as a whole.
const configured = `cd / && tar -cf - --ignore-failed-read --exclude='*-keys' --exclude='*/sql' --exclude='*password' ` +
	`etc/updraft etc/containers/systemd etc/systemd/network etc/network/interfaces etc/network/interfaces.d etc/hosts etc/resolv.conf etc/sysctl.d etc/nftables.conf etc/haproxy etc/keepalived etc/chrony 2>/dev/null; true`

// general is what is looked at on every host.
func general() []Look {
	return []Look{
		{"system.txt", "uname -a; cat /etc/os-release; uptime; free -m; df -h; cat /proc/pressure/* 2>/dev/null; ps axo pid,ppid,stat,etime,rss,pcpu,args --sort=-rss | head -n 200"},
		{"units.txt", "systemctl --no-pager --full list-units --failed; systemctl --no-pager list-units --type=service --all; systemctl --no-pager list-timers --all"},
		{"containers.txt", "command -v podman >/dev/null && { podman --version; podman ps --all --no-trunc --format 'table {{.Names}} {{.Status}} {{.RunningFor}} {{.Image}}'; podman images --digests; }"},
		{"network.txt", "ip -s link; ip addr; ip route show table all; ss -tlnp; ss -s; command -v nft >/dev/null && nft list ruleset"},
		{"packages.txt", "if command -v dpkg-query >/dev/null; then dpkg-query -W; else rpm -qa | sort; fi"},
		{"clock.txt", "date -u; timedatectl; command -v chronyc >/dev/null && chronyc -n tracking && chronyc -n sources"},
	}
}

// collector collects from hosts.
type collector struct {
	o     *Options
	spool *spool

	mu     sync.Mutex
	missed []Missed
}

// Missed is what could not be had.
type Missed struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

func (c *collector) miss(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missed = append(c.missed, Missed{what, c.o.Redactor.Redact(err.Error())})
}

// hosts collects from all hosts at once.
func (c *collector) hosts(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(hostsAtOnce)
	for _, h := range c.o.Hosts {
		if h.Away != "" {
			c.miss(h.Name, errors.New(h.Away))
			continue
		}
		g.Go(func() error {
			c.host(ctx, h)
			return nil
		})
	}
	_ = g.Wait() // what failed was noted
}

func (c *collector) host(ctx context.Context, h Host) {
	var g errgroup.Group
	g.SetLimit(looksAtOnce)
	g.Go(func() error {
		c.note(h, "journal.txt", c.journal(ctx, h))
		return nil
	})
	g.Go(func() error {
		c.note(h, "configuration", c.configuration(ctx, h))
		return nil
	})
	for _, l := range append(general(), h.Looks...) {
		g.Go(func() error {
			script := fmt.Sprintf("{ %s\n} 2>&1 </dev/null | head -c %d", l.Script, maxLook)
			c.note(h, l.File, c.look(ctx, h, l.File, script, kind{limit: maxLook}))
			return nil
		})
	}
	_ = g.Wait() // what failed was noted
}

func (c *collector) note(h Host, what string, err error) {
	if err != nil {
		c.miss(h.Name+"/"+what, err)
	}
}

func (c *collector) look(ctx context.Context, h Host, file, script string, k kind) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return c.spool.add(path.Join("hosts", h.Name, file), k, func(w io.Writer) error {
		return c.o.Run(ctx, h.Name, script, w)
	})
}

// journal takes the newest part of the journal.
func (c *collector) journal(ctx context.Context, h Host) error {
	script := fmt.Sprintf("journalctl --no-pager --quiet -o short-iso-precise --since=@%d -n 500000 | tail -c %d", c.o.Since.Unix(), c.o.Journal)
	return c.look(ctx, h, "journal.txt", script, kind{host: h.Name, limit: c.o.Journal})
}

// configuration takes files out of the archive that the host sends, as it comes.
func (c *collector) configuration(ctx context.Context, h Host) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	r, w := io.Pipe()
	go func() { w.CloseWithError(c.o.Run(ctx, h.Name, configured, w)) }()
	defer func() { _ = r.Close() }() // ends the host, if it still writes
	in := tar.NewReader(r)
	for {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			// Padding may follow; the host is to end in peace.
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		if head.Typeflag != tar.TypeReg || head.Size > maxConfig {
			continue
		}
		if err := c.file(h, head.Name, in); err != nil {
			return err
		}
	}
}

// file takes a file of configuration, if it is text.
func (c *collector) file(h Host, name string, in io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(in, maxConfig))
	if err != nil || bytes.IndexByte(data, 0) >= 0 {
		return err
	}
	inside := path.Join("hosts", h.Name, "files", path.Clean("/"+name))
	return c.spool.add(inside, kind{config: true}, func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader(string(data)))
		return err
	})
}
