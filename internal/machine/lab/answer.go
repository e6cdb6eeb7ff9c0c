package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/machine"
)

// bannerTimeout bounds one look at a machine's sshd, which has a name to look up
// or keys to load at the worst.
const bannerTimeout = 5 * time.Second

// Answer waits until the machine's sshd says who it is, or the machine ends.
func (p *Provider) Answer(ctx context.Context, cloud, name string) error {
	m, err := p.existing(cloud, name)
	if err != nil {
		return fmt.Errorf("cannot reach machine %s: %w", name, err)
	}
	var last error
	err = poll(ctx, func() (bool, error) {
		if !p.cg.running(cloud, name) {
			return false, errors.New("it does not run")
		}
		last = p.greeted(ctx, m)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("machine %s does not answer: %w", name, errors.Join(err, last))
	}
	return nil
}

// greeted reads the version line of the machine's sshd (RFC 4253, section 4.2).
func (p *Provider) greeted(ctx context.Context, m machine.Machine) error {
	t, err := p.Target(ctx, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bannerTimeout)
	defer cancel()
	port := t.Port
	if port == 0 {
		port = 22
	}
	conn, err := t.Dial(ctx, "tcp", net.JoinHostPort(t.Address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(bannerTimeout)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "SSH-") {
		err = fmt.Errorf("it says %q", line)
	}
	return err
}
