package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/catalogue"
	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/fleet"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/machine/static"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/sshkey"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/ssh"
)

// session is everything that a command needs to work on one cloud. This is the
// one place where the parts of updraft are put together.
type session struct {
	a        *app
	dir      string // of the cloud's state
	cloud    *spec.Cloud
	out      *compile.Output
	provider machine.Provider
	store    engine.Store
	fleet    *fleet.Fleet
	records  map[string]engine.Record
	secrets  secret.Source // nil where the cloud has none
	vault    *secret.Store // the same, where they may be made: when applying
	images   []provision.Service
	api      *api.Executor // of the cloud's own API; nil before it is asked for
	away     []string      // hosts in maintenance, which are left alone
	part     []string      // the flags by which the command line means a part of the cloud
	// connectWithin bounds how long a host may take to accept a connection; 0
	// means the transport's own bound.
	connectWithin time.Duration
}

// load reads and compiles the cloud file, to look at the cloud. Warnings are
// shown; errors are returned, all at once.
func (a *app) load() (*session, error) { return a.read(false) }

// loadToApply is load for commands that change the cloud: secrets that do not
// exist yet are made. They are saved as soon as the cloud is locked.
func (a *app) loadToApply() (*session, error) { return a.read(true) }

func (a *app) read(applying bool) (*session, error) {
	cloud, diags := spec.Load(a.file, spec.Options{Set: a.set})
	if diags.HasErrors() {
		return nil, diags
	}
	s, err := a.open(cloud, clocks)
	if err != nil {
		return nil, err
	}
	more, err := s.compile(applying)
	if err != nil {
		return nil, err
	}
	diags = append(diags, more...)
	s.tellRenewals(&diags, applying)
	diags.Sort()
	if err := diags.Err(); err != nil {
		return nil, err
	}
	if s.secrets != nil && s.secrets.Err() != nil {
		return nil, s.secrets.Err()
	}
	for _, d := range diags {
		fmt.Fprintln(a.err, d)
	}
	return s, nil
}

// compile makes the cloud's graph, and its secrets where applying.
func (s *session) compile(applying bool) (diag.List, error) {
	stack, err := s.stackInput(applying)
	if err != nil {
		return nil, err
	}
	out, diags := compile.Compile(compile.Input{
		Cloud: s.cloud, Sets: catalogue.Sets(), Kinds: all.Registry(), Provider: s.provider,
		Access: s.access, Cache: s.cache(), Body: fleet.Body, OpenStack: stack,
	})
	s.out = out
	return diags, nil
}

// open puts together what works on the cloud's machines and state. clocks is how far
// those of hosts may be off; 0 is any.
func (a *app) open(cloud *spec.Cloud, clocks time.Duration) (*session, error) {
	s := &session{a: a, cloud: cloud, dir: a.cloudDir(cloud.Name), records: map[string]engine.Record{}}
	var err error
	if s.provider, err = a.provider(cloud); err != nil {
		return nil, err
	}
	s.store = statedir.Open(s.dir)
	if s.records, err = s.store.Records(context.Background()); err != nil {
		return nil, err
	}
	if s.away, err = s.leftAlone(); err != nil {
		return nil, err
	}
	if made := a.knownProvider(cloud.Name); len(s.records) > 0 && made != "" && made != s.provider.Name() {
		return nil, fmt.Errorf("%[1]s was made by provider %[2]s, and its file says %[3]s; take it away first: updraft destroy --cloud %[1]s",
			cloud.Name, made, s.provider.Name())
	}
	s.fleet = fleet.New(fleet.Options{
		Target: s.target, Dialer: &ssh.Dialer{}, Start: fleet.Starter(), Registry: all.Registry(), Patience: patience(s.provider),
		Clocks: clocks,
	})
	return s, nil
}

// clocks is how far a host's clock may be from this computer's. Nova and Neutron take
// a service for dead that has not written the time for a minute, by the clock of
// whoever reads it, and it writes every ten seconds: clocks of two hosts must not be
// 50 seconds apart, and two that are 20 off this computer's are 40 apart at most.
// What is off by less is told by updraft status.
const clocks = 20 * time.Second

// serverPatience is how long a host that exists already may take to boot. A
// server with much memory tests it and starts its controllers for minutes.
const serverPatience = 10 * time.Minute

func patience(p machine.Provider) time.Duration {
	if borrows(p) {
		return serverPatience
	}
	return 0 // the fleet's own
}

// borrows reports whether machines are there before and after the cloud.
func borrows(p machine.Provider) bool {
	b, ok := p.(machine.Borrower)
	return ok && b.Borrows()
}

func (s *session) close() {
	if s.api != nil {
		s.api.Close()
	}
	if s.fleet != nil {
		s.fleet.Close()
	}
}

func (a *app) cloudDir(name string) string { return filepath.Join(a.stateDir, "clouds", name) }

func (a *app) provider(cloud *spec.Cloud) (machine.Provider, error) {
	switch cloud.Provider.Name {
	case "lab", "":
		return a.lab(), nil
	case "static":
		return static.New(), nil
	}
	return nil, fmt.Errorf("there is no provider %q; known are lab, static", cloud.Provider.Name)
}

func (a *app) lab() *lab.Provider {
	return lab.New(a.labOptions())
}

func (a *app) labOptions() lab.Options {
	return lab.Options{Owner: a.stateDir, CacheDir: filepath.Join(a.cacheDir(), "roots")}
}

// access returns how updraft logs in to a host: as the cloud file says, else by
// a key of the cloud's own.
func (s *session) access(h *spec.Host) machine.Access {
	acc := machine.Access{
		User: h.Access.User, Port: h.Access.Port, Address: h.Address, Identity: s.path(h.Access.Identity),
		KnownHosts: s.path(h.Access.KnownHosts), Jump: h.Access.Jump,
		Agent: h.Access.Agent, SudoPasswordFile: s.path(h.Access.SudoPasswordFile),
	}
	if acc.User == "" {
		acc.User = "root"
	}
	if acc.Port == 0 {
		acc.Port = 22
	}
	if acc.KnownHosts == "" {
		acc.KnownHosts = filepath.Join(s.dir, "known_hosts")
	}
	if acc.Identity == "" && !h.Access.Agent {
		acc.Identity = s.identity()
	}
	return acc
}

// path resolves a path of the cloud file: ~ is the user's home, and relative
// paths start at the file.
func (s *session) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	p = filepath.Join(filepath.Dir(s.a.file), p)
	if whole, err := filepath.Abs(p); err == nil {
		return whole // it goes into the state and the hand-off, too
	}
	return p
}

func (s *session) identity() string { return filepath.Join(s.dir, "id_ed25519") }

// target says how to reach a host of the cloud, or one that only the state
// remembers because it left the file.
func (s *session) target(name string) (transport.Target, error) {
	m, ok := machine.Machine{}, false
	if s.out != nil {
		m, ok = s.out.Machines[name]
	}
	if !ok {
		r, known := s.records[provision.KindMachine+":"+name]
		if !known {
			return transport.Target{}, fmt.Errorf("there is no host %q in %s", name, s.cloud.Name)
		}
		var err error
		if m, err = provision.MachineOf(r); err != nil {
			return transport.Target{}, err
		}
	}
	t, err := s.provider.Target(context.Background(), m)
	if err != nil {
		return t, err
	}
	t.Agent, t.ConnectTimeout = m.Access.Agent, cmp.Or(s.connectWithin, t.ConnectTimeout)
	t.SudoPassword = sudoPassword(m.Access.SudoPasswordFile)
	return t, nil
}

func sudoPassword(file string) func() (string, error) {
	if file == "" {
		return nil
	}
	return func() (string, error) {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("cannot read the sudo password: %w", err)
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
}

// lock makes this process the only writer and sees to the cloud's key.
func (s *session) lock(ctx context.Context, command string) (func() error, error) {
	unlock, err := s.store.Lock(ctx, holder(command))
	if err != nil {
		return nil, err
	}
	// Another updraft may have written between reading and locking.
	if s.records, err = s.store.Records(ctx); err == nil {
		err = errors.Join(s.ensureKey(), s.rememberProvider())
	}
	if err == nil && s.vault != nil {
		err = s.vault.Save(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// holder names this process for those who meet its lock.
func holder(command string) engine.Holder {
	h := engine.Holder{PID: os.Getpid(), Command: command, Since: time.Now()}
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	h.Host, _ = os.Hostname() // for people only
	return h
}

// rememberProvider notes where the machines come from, so that the cloud can be
// destroyed when its file is gone.
func (s *session) rememberProvider() error {
	name := filepath.Join(s.dir, "provider")
	want := s.provider.Name() + "\n"
	if have, err := os.ReadFile(name); err == nil && string(have) == want {
		return nil
	}
	return os.WriteFile(name, []byte(want), 0o600)
}

// ensureKey makes the cloud's own key pair, once.
func (s *session) ensureKey() error {
	_, err := sshkey.Ensure(s.identity(), "updraft-"+s.cloud.Name)
	return err
}

// engine returns an engine over the cloud's graph.
func (s *session) engine(sink engine.Sink, opts engine.Options) *engine.Engine {
	opts.Last, opts.Away = s.holders, s.away
	return engine.New(s.out.Graph, s.store, s.executor(), sink, opts)
}

func (s *session) executor() engine.Executor {
	return engine.Mux{
		Deployer: &provision.Executor{
			Provider: s.provider, Cloud: s.cloud.Name, RemoveService: s.removeCache,
			Ensured: s.fleet.Expect, Removing: s.fleet.Forget, Leave: s.fleet.RemoveAgent,
		},
		Hosts: s.fleet, Scopes: s.scopes(),
	}
}

// precheck says what is missing on this computer, all at once.
func (s *session) precheck(ctx context.Context) error {
	list := located(s.cloud, append(s.provider.Check(ctx, s.out.Topology), s.checkImages(ctx)...))
	for _, d := range list {
		if d.Severity == diag.Warning {
			fmt.Fprintln(s.a.err, d)
		}
	}
	return list.Err()
}

// located adds positions in the cloud file to what a provider, which has not seen
// it, says of hosts and networks by name.
func located(c *spec.Cloud, list diag.List) diag.List {
	out := slices.Clone(list)
	for i := range out {
		if out[i].Pos.IsZero() {
			out[i].Pos = position(c, out[i].Path)
		}
	}
	return out
}

// position is where the thing that the path begins with is written.
func position(c *spec.Cloud, path string) diag.Pos {
	kind, rest, _ := strings.Cut(path, ".")
	name, _, _ := strings.Cut(rest, ".")
	pos := diag.Pos{}
	if host := c.Host(name); kind == "hosts" && host != nil {
		pos = host.Pos
	}
	if network := c.Network(name); kind == "networks" && network != nil {
		pos = network.Pos
	}
	if kind == "provider" {
		pos = c.Provider.Pos
	}
	if pos.IsZero() && len(c.Files) > 0 {
		pos.File = c.Files[0]
	}
	return pos
}

// dial connects from the deployer's place in the cloud's networks.
func (s *session) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if v, ok := s.provider.(machine.Vantage); ok {
		return v.DialContext(ctx, s.cloud.Name, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}
