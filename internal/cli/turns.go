package cli

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// holderTimeout bounds the question who has the virtual address. Without an answer
// the order of turns is merely one that moves it more often.
const holderTimeout = 3 * time.Second

// holders returns which of the hosts have the virtual address of the APIs.
func (s *session) holders(ctx context.Context, hosts []string) []string {
	if s.cloud.OpenStack == nil {
		return nil
	}
	vip := s.cloud.OpenStack.VIP.Address
	line := transport.Quote("ip", "-oneline", "address", "show", "to", netip.PrefixFrom(vip, vip.BitLen()).String())
	ctx, cancel := context.WithTimeout(ctx, holderTimeout)
	defer cancel()
	var mu sync.Mutex
	var out []string
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			var stdout bytes.Buffer
			err := s.fleet.Exec(ctx, h, line, nil, &stdout, &bytes.Buffer{})
			if err == nil && strings.Contains(stdout.String(), vip.String()) {
				mu.Lock()
				defer mu.Unlock()
				out = append(out, h)
			}
		})
	}
	wg.Wait()
	slices.Sort(out)
	return out
}
