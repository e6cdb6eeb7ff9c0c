package verify

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// maxBanner is how much of what a server says first is looked at.
const maxBanner = 4096

// Banner proves that a server introduces itself as expected.
type Banner struct {
	Target  string   `json:"target" required:"true" doc:"Host, group, role, VIP or address. Of a group or role, every host."`
	Network string   `json:"network,omitempty" doc:"Network on which the target's addresses are taken; by default the first of each host."`
	Port    int      `json:"port" required:"true" doc:"TCP port."`
	Match   string   `json:"match" required:"true" doc:"Regular expression (RE2) that the first 4096 bytes from the server are to match."`
	Within  Duration `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then."`

	targets []Endpoint
}

func bannerKind() Kind {
	return Kind{
		Name:    "banner",
		Doc:     "Connects to a TCP port and compares what the server says first with a regular expression.",
		Example: "target: all\nport: 22\nmatch: ^SSH-2\\.0-\n",
		New:     func() Check { return &Banner{} },
	}
}

// Kind returns "banner".
func (*Banner) Kind() string { return "banner" }

// Patience returns Within.
func (c *Banner) Patience() time.Duration { return time.Duration(c.Within) }

// Validate checks the declaration.
func (c *Banner) Validate() error {
	errs := []error{validTarget("target", c.Target), validPort("port", c.Port)}
	if c.Match == "" {
		errs = append(errs, resource.Fieldf("match", "give a regular expression", "is required"))
	}
	return errors.Join(append(errs, validRegexp("match", c.Match))...)
}

func validRegexp(field, expr string) error {
	if _, err := regexp.Compile(expr); err != nil {
		return resource.Fieldf(field, "see https://golang.org/s/re2syntax", "%v", err)
	}
	return nil
}

// Resolve finds the addresses of the target.
func (c *Banner) Resolve(lookup Lookup) (err error) {
	c.targets, err = resolve("target", c.Target, c.Network, lookup)
	return err
}

// Run reads what every address says first.
func (c *Banner) Run(ctx context.Context, v Vantage) (any, error) {
	re, err := regexp.Compile(c.Match)
	if err != nil {
		return nil, err
	}
	found, err := each(ctx, c.targets, func(ctx context.Context, t Endpoint) (PortDetail, error) {
		return readBanner(ctx, v, t, c.Port, re)
	})
	return PortDetails(found), err
}

// readBanner reads until re matches, the server ends or ctx does.
func readBanner(ctx context.Context, v Vantage, t Endpoint, port int, re *regexp.Regexp) (PortDetail, error) {
	d := PortDetail{Endpoint: t, Port: port}
	start := time.Now()
	conn, err := v.Dial(ctx, "tcp", hostPort(t.Addr, port))
	if err != nil {
		d.Error = plain(err)
		return d, asFailure(err, "%s port %d is not open", t, port)
	}
	defer conn.Close()
	d.Open, d.Connect = true, time.Since(start)
	stop := closeOnDone(ctx, conn)
	defer stop()

	buf := make([]byte, 0, maxBanner)
	for err == nil && len(buf) < maxBanner && !re.Match(buf) {
		var n int
		n, err = conn.Read(buf[len(buf):maxBanner])
		buf = buf[:len(buf)+n]
	}
	d.Banner = printable(buf)
	if re.Match(buf) {
		return d, nil
	}
	return d, noMatch(ctxError(ctx, err), d, re)
}

func noMatch(err error, d PortDetail, re *regexp.Regexp) error {
	switch {
	case d.Banner != "":
		return failf("%s port %d says %s, which does not match %s", d.Endpoint, d.Port, d.Banner, re)
	case errors.Is(err, io.EOF):
		return failf("%s port %d closes the connection without a word", d.Endpoint, d.Port)
	default:
		return asFailure(err, "%s port %d says nothing", d.Endpoint, d.Port)
	}
}

// printable renders the first line of data as a quoted string of at most 80
// characters, so that nothing a server says can play with a terminal.
func printable(data []byte) string {
	const most = 80
	line, _, _ := strings.Cut(strings.TrimLeft(string(data), "\r\n"), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return ""
	}
	if utf8.RuneCountInString(line) > most {
		line = string([]rune(line)[:most]) + "…"
	}
	return strconv.Quote(line)
}
