// Package lab makes machines on this computer: every machine is a systemd system
// in a systemd-nspawn container with its own network namespace, NICs and sshd.
//
// What it guarantees:
//
//   - All networks of a cloud are bridges in one network namespace of the cloud.
//     There is no route out of it and no link into the computer's own network
//     unless a network asks for an uplink, and then none but for that network. No
//     packet from or for a lab address ever leaves, and clouds may share addresses.
//   - Machines outlive updraft. What runs is read from the cgroups that the
//     processes are in, never from a pid file, so a crash between starting and
//     recording loses nothing, and no signal ever hits a process that took over
//     a number: a process is signalled through a descriptor whose membership in
//     the machine's cgroup was checked after it was opened.
//   - The root of a machine is an overlay that is mounted in a mount namespace
//     of the machine's own processes. It goes when they go: nothing is ever left
//     mounted on this computer.
//   - Every Ensure finishes what an interrupted one began, and every Remove takes
//     away whatever part exists. Only the cache of root file systems stays.
//
// Files, below [Options.DataDir]:
//
//	CLOUD/owner                    state directory that the lab belongs to
//	CLOUD/hosts/HOST/spec.json     the machine as last made; absent: half made
//	CLOUD/hosts/HOST/upper,work    overlay
//	CLOUD/hosts/HOST/containers    bound to /var/lib/containers, which cannot be an overlay on an overlay
//	CLOUD/hosts/HOST/root          mount point, empty as seen from outside
//	CLOUD/hosts/HOST/console.log   console of the machine
//	CLOUD/snapshots/NAME/HOST      copies of spec.json, upper and containers
package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/updraft-cloud/updraft/internal/machine"
)

// Default places.
const (
	DefaultDataDir  = "/var/lib/updraft/lab"
	DefaultCacheDir = "/var/cache/updraft/roots"
)

// Options says where a lab keeps its things. The zero value is what users get.
type Options struct {
	DataDir  string // DefaultDataDir when empty
	CacheDir string // root file systems; DefaultCacheDir when empty
	// Owner is the state directory that the clouds belong to. A lab of the same
	// name that was made from another one is refused. Empty: not checked.
	Owner string
}

// Provider is the lab. It is safe for concurrent use.
type Provider struct {
	opts     Options
	cg       *cgroups
	machines keyedMutex // by CLOUD/HOST
	clouds   keyedMutex // by CLOUD: held for reading while something is made
	known    sync.Mutex // known_hosts files
	limits   sync.Once
}

var (
	_ machine.Provider  = (*Provider)(nil)
	_ machine.Vantage   = (*Provider)(nil)
	_ machine.Power     = (*Provider)(nil)
	_ machine.Snapshots = (*Provider)(nil)
)

// New returns the provider. It touches nothing.
func New(o Options) *Provider {
	if o.DataDir == "" {
		o.DataDir = DefaultDataDir
	}
	if o.CacheDir == "" {
		o.CacheDir = DefaultCacheDir
	}
	return &Provider{opts: o, cg: findCgroups("/sys/fs/cgroup")}
}

// Name returns "lab".
func (p *Provider) Name() string { return "lab" }

func (p *Provider) cloudDir(cloud string) string {
	return filepath.Join(p.opts.DataDir, cloud)
}

func (p *Provider) hostDir(cloud, host string) string {
	return filepath.Join(p.opts.DataDir, cloud, "hosts", host)
}

// ConsoleLog returns the path of the machine's console log.
func (p *Provider) ConsoleLog(cloud, host string) string {
	return filepath.Join(p.hostDir(cloud, host), "console.log")
}

// Namespace returns the name of the network namespace that holds the cloud's
// bridges and the deployer's addresses.
func Namespace(cloud string) string { return "ud-" + cloud }

// HostNamespace returns the name of a machine's network namespace. The dot can
// be in neither name, so that no cloud's namespace is taken for a host's.
func HostNamespace(cloud, host string) string { return "ud-" + cloud + "." + host }

// claim makes the cloud's directory and marks whose it is.
func (p *Provider) claim(cloud string) error {
	if err := checkName(cloud); err != nil {
		return fmt.Errorf("cannot use lab %q: %w", cloud, err)
	}
	if err := p.owned(cloud); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(p.cloudDir(cloud), "hosts"), 0o700); err != nil {
		return fmt.Errorf("cannot make lab %s: %w", cloud, err)
	}
	if p.opts.Owner == "" {
		return nil
	}
	f, err := os.OpenFile(p.ownerFile(cloud), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if os.IsExist(err) {
		return p.owned(cloud)
	}
	if err != nil {
		return fmt.Errorf("cannot make lab %s: %w", cloud, err)
	}
	defer f.Close()
	_, err = f.WriteString(p.opts.Owner)
	return err
}

func (p *Provider) ownerFile(cloud string) string {
	return filepath.Join(p.cloudDir(cloud), "owner")
}

// owned refuses a lab that another state directory owns, unless that is gone.
func (p *Provider) owned(cloud string) error {
	b, err := os.ReadFile(p.ownerFile(cloud))
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("cannot tell whose lab %s is: %w", cloud, err)
	}
	owner := string(b)
	if owner == "" || p.opts.Owner == "" || owner == p.opts.Owner {
		return nil
	}
	if _, err := os.Stat(owner); os.IsNotExist(err) {
		return os.WriteFile(p.ownerFile(cloud), []byte(p.opts.Owner), 0o600)
	}
	return fmt.Errorf("lab %s belongs to the state in %s, not %s: destroy it from there, or give this cloud another name", cloud, owner, p.opts.Owner)
}

// checkName accepts what can stand in a path, a namespace, a cgroup, a unit and
// a host name alike.
func checkName(name string) error {
	if name == "" || len(name) > 63 {
		return fmt.Errorf("name must have 1 to 63 characters")
	}
	for i, c := range []byte(name) {
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0
		if !ok {
			return fmt.Errorf("name may hold only a-z, 0-9 and -, and begin with a letter or digit")
		}
	}
	return nil
}

// keyedMutex is a read-write mutex per key. Keys are never forgotten: they are
// names of clouds and machines.
type keyedMutex struct {
	mu   sync.Mutex
	keys map[string]*sync.RWMutex
}

func (k *keyedMutex) of(key string) *sync.RWMutex {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]*sync.RWMutex{}
	}
	if k.keys[key] == nil {
		k.keys[key] = &sync.RWMutex{}
	}
	return k.keys[key]
}

func (k *keyedMutex) lock(key string) (unlock func()) {
	m := k.of(key)
	m.Lock()
	return m.Unlock
}

func (k *keyedMutex) rlock(key string) (unlock func()) {
	m := k.of(key)
	m.RLock()
	return m.RUnlock
}
