package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Boot is what an agent is given at its start, by the driver that made the
// amphora (driver.Boot, as JSON), with what a test or an image may add.
type Boot struct {
	AmphoraID                   string
	Certificate, Key, Authority string // PEM
	HeartbeatKey                []byte
	Receivers                   []string
	HeartbeatInterval           time.Duration
	// Listen is all addresses on amphora.AgentPort when empty.
	Listen string
	// Dir is where the agent keeps everything; that of the file when empty.
	Dir string
	// HAProxy, Keepalived and NFT are programs; looked for when empty.
	HAProxy, Keepalived, NFT string
}

// Load reads the file that the agent is started with.
func Load(path string) (Boot, error) {
	var b Boot
	data, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if b.AmphoraID == "" || b.Certificate == "" || b.Key == "" || b.Authority == "" {
		return b, fmt.Errorf("cannot use %s: AmphoraID, Certificate, Key and Authority must be given", path)
	}
	if b.Dir == "" {
		b.Dir = filepath.Dir(path)
	}
	if b.Listen == "" {
		b.Listen = ":9443"
	}
	b.Dir, err = filepath.Abs(b.Dir)
	return b, errors.Join(err, b.programs())
}

// programs finds what is not named. Only HAProxy must be there: the others are
// missed when they are needed.
func (b *Boot) programs() error {
	for _, p := range []struct {
		path *string
		name string
	}{{&b.HAProxy, "haproxy"}, {&b.Keepalived, "keepalived"}, {&b.NFT, "nft"}} {
		if *p.path != "" {
			continue
		}
		*p.path = "/usr/sbin/" + p.name
		if found, err := exec.LookPath(p.name); err == nil {
			*p.path = found
		}
	}
	_, err := os.Stat(b.HAProxy)
	return err
}
