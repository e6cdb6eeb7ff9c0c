package oci

import (
	"regexp"
	"strconv"
	"strings"
)

// progress turns the output of mmdebstrap, apt and dpkg into a few lines for a
// person.
type progress struct {
	name string
	log  Log

	stage            string // as last told
	total            int    // packages to install
	unpacked, set    int
	toldUnpack, told int // tenths of total
}

var (
	needPattern = regexp.MustCompile(`^Need to get ([0-9.,]+ [kMG]?B)`)
	newPattern  = regexp.MustCompile(`, (\d+) newly installed`)
)

// line is given every line of output.
func (p *progress) line(s string) {
	switch {
	case strings.HasPrefix(s, "I: "):
		p.tell(strings.TrimSuffix(s[len("I: "):], "..."))
	case strings.HasPrefix(s, "Unpacking "):
		p.unpacked++
		p.count("unpacked", p.unpacked, &p.toldUnpack)
	case strings.HasPrefix(s, "Setting up "):
		p.set++
		p.count("set up", p.set, &p.told)
	default:
		p.summary(s)
	}
}

// stages are those of mmdebstrap that a person waits for, in words.
var stages = map[string]string{
	"running apt-get update":                          "reading package lists",
	"downloading packages with apt":                   "fetching the base system",
	"installing remaining packages inside the chroot": "resolving packages",
	"cleaning package lists and apt cache":            "cleaning up",
}

func (p *progress) tell(stage string) {
	if words, ok := stages[stage]; ok && stage != p.stage {
		p.stage = stage
		p.log("%s: %s", p.name, words)
	}
}

// summary understands what apt is about to do.
func (p *progress) summary(s string) {
	if m := newPattern.FindStringSubmatch(s); m != nil {
		p.total, _ = strconv.Atoi(m[1])
		p.unpacked, p.set, p.toldUnpack, p.told = 0, 0, 0, 0
	}
	if m := needPattern.FindStringSubmatch(s); m != nil && p.total > 0 {
		p.log("%s: fetching %d packages, %s", p.name, p.total, m[1])
	}
}

// steps is how often a count is told.
const steps = 5

func (p *progress) count(what string, n int, told *int) {
	if p.total < 2*steps {
		return
	}
	if step := n * steps / p.total; step > *told {
		*told = step
		p.log("%s: %s %d of %d packages", p.name, what, n, p.total)
	}
}
