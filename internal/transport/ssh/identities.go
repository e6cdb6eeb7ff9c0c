package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// keyring holds the private keys that were read, by path.
type keyring struct {
	mu   sync.Mutex
	keys map[string]storedKey
}

type storedKey struct {
	stamp  stamp
	signer ssh.Signer
}

// offer is what is offered to one host: the identities in their order, then the
// keys of the agent, which is only asked when the host takes keys.
type offer struct {
	identities []ssh.Signer
	paths      []string
	agent      net.Conn // nil when there is none
	fromAgent  int
}

func (k *keyring) signers(ctx context.Context, t transport.Target) (*offer, error) {
	o := &offer{paths: t.Identities}
	for _, path := range t.Identities {
		s, err := k.load(path)
		if err != nil {
			return nil, err
		}
		o.identities = append(o.identities, s)
	}
	if !t.Agent {
		return o, nil
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		if len(o.identities) > 0 {
			return o, nil
		}
		return nil, fmt.Errorf("cannot log in to %s: no identity is given and SSH_AUTH_SOCK is not set", describe(t))
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil && len(o.identities) == 0 {
		return nil, fmt.Errorf("cannot reach the ssh-agent: %w", err)
	}
	o.agent = conn
	return o, nil
}

// load reads a private key, or returns it as it was read before.
func (k *keyring) load(path string) (ssh.Signer, error) {
	now, err := stampOf(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the identity: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.keys[path]; ok && s.stamp == now {
		return s.signer, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the identity: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("cannot use the identity %s: it has a passphrase; add it to the ssh-agent (`ssh-add %s`) and let updraft use the agent", path, path)
	case err != nil:
		return nil, fmt.Errorf("cannot use the identity %s: %w", path, err)
	}
	if k.keys == nil {
		k.keys = map[string]storedKey{}
	}
	k.keys[path] = storedKey{now, signer}
	return signer, nil
}

// signers is called when the host takes keys.
func (o *offer) signers() ([]ssh.Signer, error) {
	if o.agent == nil {
		return o.identities, nil
	}
	more, err := agent.NewClient(o.agent).Signers()
	if err != nil && len(o.identities) == 0 {
		return nil, fmt.Errorf("cannot read the keys of the ssh-agent: %w", err)
	}
	o.fromAgent = len(more)
	return append(o.identities[:len(o.identities):len(o.identities)], more...), nil
}

// String names the keys for people.
func (o *offer) String() string {
	switch {
	case len(o.identities) == 0 && o.fromAgent == 0:
		return "a login without a key, and there is no key to offer"
	case o.fromAgent == 0:
		return "the key " + strings.Join(o.paths, ", ")
	case len(o.identities) == 0:
		return fmt.Sprintf("the %d keys of the ssh-agent", o.fromAgent)
	}
	return fmt.Sprintf("the key %s and the %d keys of the ssh-agent", strings.Join(o.paths, ", "), o.fromAgent)
}

func (o *offer) close() {
	if o.agent != nil {
		o.agent.Close()
	}
}
