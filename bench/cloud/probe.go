package cloud

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// answerPatience bounds how long a lab may take until all hosts answer: ten
// times what a hundred hosts need on two cores.
const answerPatience = 6 * time.Minute

// AwaitAnswers waits until the sshd of every host sends its banner.
func (c *Cloud) AwaitAnswers(ctx context.Context) error {
	s, err := c.Spec()
	if err != nil {
		return err
	}
	ns, err := netns.Open(lab.Namespace(c.Name))
	if err != nil {
		return err
	}
	defer ns.Close()
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range s.Hosts {
		addr := net.JoinHostPort(h.NICs[0].Address.Addr().String(), "22")
		g.Go(func() error { return awaitBanner(ctx, ns.DialContext, addr) })
	}
	return g.Wait()
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// awaitBanner asks again every 20 ms, at which a hundred hosts do not yet spend
// the computer on being asked.
func awaitBanner(ctx context.Context, dial dialer, addr string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := banner(ctx, dial, addr)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sshd at %s does not answer: %w", addr, err)
		case <-tick.C:
		}
	}
}

func banner(ctx context.Context, dial dialer, addr string) error {
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "SSH-2.0-") {
		return fmt.Errorf("it says %q", line)
	}
	return err
}

// Memory returns the memory in MiB that the hosts use on average.
func (c *Cloud) Memory(ctx context.Context) (float64, error) {
	hosts, err := c.Memories(ctx)
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, m := range hosts {
		sum += m
	}
	return sum / float64(len(hosts)), nil
}

// Hosts returns the hosts that there are of the cloud.
func (c *Cloud) Hosts(ctx context.Context) ([]machine.Status, error) {
	out, err := c.Run(ctx, "--json", "lab", "list", "--cloud", c.Name)
	if err != nil {
		return nil, err
	}
	var inv machine.Inventory
	if err := json.Unmarshal([]byte(out), &inv); err != nil {
		return nil, fmt.Errorf("cannot read the list of hosts: %w", err)
	}
	return inv.Machines, nil
}

// Memories returns the memory in MiB that each host uses, what they share divided
// among them (PSS of proc_pid_smaps_rollup), and what runs them included. There
// is at least one.
func (c *Cloud) Memories(ctx context.Context) (map[string]float64, error) {
	machines, err := c.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	procs, err := readProcesses()
	if err != nil {
		return nil, err
	}
	hosts := map[string]float64{}
	for _, m := range machines {
		if m.PID > 0 {
			hosts[m.Name] = float64(procs.pss(procs.top(m.PID))) / (1 << 20)
		}
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("no host of %s runs", c.Name)
	}
	return hosts, nil
}

// processes are all processes of the computer.
type processes struct {
	parent   map[int]int
	children map[int][]int
}

func readProcesses() (*processes, error) {
	p := &processes{parent: map[int]int{}, children: map[int][]int{}}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if parent, ok := parentOf(dir); ok {
			p.parent[pid] = parent
			p.children[parent] = append(p.children[parent], pid)
		}
	}
	return p, nil
}

// parentOf reads PPid of proc_pid_status(5); a process that has ended has none.
func parentOf(dir string) (int, bool) {
	data, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			return n, err == nil
		}
	}
	return 0, false
}

// top returns the outermost ancestor that is not this computer's init.
func (p *processes) top(pid int) int {
	for p.parent[pid] > 1 {
		pid = p.parent[pid]
	}
	return pid
}

// pss adds up the bytes of a process and all below it.
func (p *processes) pss(pid int) int64 {
	var sum int64
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err == nil { // otherwise it has just ended
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, "Pss:"); ok {
				kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
				sum = kb << 10
			}
		}
	}
	for _, child := range p.children[pid] {
		sum += p.pss(child)
	}
	return sum
}
