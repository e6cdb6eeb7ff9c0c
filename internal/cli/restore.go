package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
	"github.com/updraft-cloud/updraft/internal/transport"
)

func (a *app) restoreCommand() *cobra.Command {
	var yes, state bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put the databases of a backup in place of the cloud's",
		Long: `restore puts what updraft backup has kept back into a cloud that is up. The file
is read to its end first, and nothing is touched unless it is whole and of this
cloud and release. Then the services that work with the databases are stopped on
all controllers, the databases of all services and OVN's northbound one are
replaced (and images' data added, where the backup has them), and the services are
started again. What was made since the backup is
gone from the databases; servers that run go on running.

When it is cut off, the services stay stopped and updraft up refuses, as databases
may be in part: run the same command again.

With --state-only it puts back what updraft itself knows of the cloud, and nothing else,
on a computer that knows nothing of it: secrets with Keystone's keys, records, its
SSH key. The databases need the keys of their time, so after a total loss:

  updraft restore --state-only FILE      the identity must be in the state, or --identity
  updraft up                        machines and services, with the same secrets
  updraft restore FILE
  updraft up
` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.verifyBackup(args[0])
			if err != nil {
				return err
			}
			if state {
				return a.restoreState(cmd.Context(), args[0], m)
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			return s.restore(cmd.Context(), args[0], m, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&state, "state-only", false, "put back what updraft itself knows of the cloud, where it knows nothing")
	return cmd
}

// restoreState puts back updraft's own state of a cloud that it knows nothing of.
func (a *app) restoreState(ctx context.Context, file string, m backup.Manifest) error {
	dir := a.cloudDir(m.Cloud)
	for _, name := range stateFiles() {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("updraft knows %s already (%s): it is not put back over that", m.Cloud, filepath.Join(dir, name))
		}
	}
	unlock, err := statedir.Open(dir).Lock(ctx, holder("updraft restore"))
	if err != nil {
		return err
	}
	_, err = a.walkBackup(file, func(name string, content io.Reader) error {
		name, ok := strings.CutPrefix(name, "state/")
		if !ok || !slices.Contains(stateFiles(), name) {
			return nil
		}
		return place(filepath.Join(dir, name), content)
	})
	if err := errors.Join(err, unlock()); err != nil {
		return fmt.Errorf("cannot put back the state of %s: %w", m.Cloud, err)
	}
	fmt.Fprintf(a.err, "updraft knows %s again. The next updraft up finds its machines, or makes them anew with the same secrets.\n", m.Cloud)
	return nil
}

// place writes a file of the state, whole or not at all.
func place(name string, content io.Reader) error {
	out, err := renameio.NewPendingFile(name, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = out.Cleanup() }()
	if _, err := io.Copy(out, content); err != nil {
		return err
	}
	return out.CloseAtomicallyReplace()
}

// restore puts back the databases under the cloud's lock.
func (s *session) restore(ctx context.Context, file string, m backup.Manifest, yes bool) (err error) {
	if err := s.fits(m); err != nil {
		return err
	}
	if !yes {
		question := fmt.Sprintf("Put the databases of %s as of %s in place of the present ones? Type the cloud's name: ", s.cloud.Name, m.Created.Format("2006-01-02 15:04:05 UTC"))
		if err := s.a.confirm(question, s.cloud.Name); err != nil {
			return err
		}
	}
	unlock, err := s.store.Lock(ctx, holder("updraft restore"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, err := s.status(ctx, statusTimeout)
	if err != nil {
		return err
	}
	at, err := s.places(r)
	if err != nil {
		return err
	}
	if err := s.replaceDatabases(ctx, file, r, at); err != nil {
		return err
	}
	fmt.Fprintf(s.a.err, "%s is as it was on %s. To bring it in line with its file: %s\n", s.cloud.Name, m.Created.Format("2006-01-02 15:04:05 UTC"), s.a.again("updraft up"))
	return nil
}

// fits reports why a backup is not for this cloud.
func (s *session) fits(m backup.Manifest) error {
	o := s.cloud.OpenStack
	switch {
	case m.Cloud != s.cloud.Name:
		return fmt.Errorf("it is a backup of %s, and the cloud is %s", m.Cloud, s.cloud.Name)
	case o == nil:
		return fmt.Errorf("%s has no databases of updraft's; with --state-only, updraft's own state is put back", s.cloud.Name)
	case m.Release != o.Release:
		return fmt.Errorf("it is of release %s, and %s is of %s", m.Release, s.cloud.Name, o.Release)
	}
	keys, err := s.keys()
	if err != nil {
		return errNotMade
	}
	if want := m.Keys[credentialKeys]; !slices.ContainsFunc(keys, func(k string) bool { return sumOf(k) == want }) {
		return errors.New("the credentials of Keystone in it are encrypted by other keys than the cloud has: destroy the cloud, updraft restore --state-only, updraft up, and then this")
	}
	return nil
}

// places are the hosts at which contents are put back, by their names.
func (s *session) places(r *status.Report) (map[string]string, error) {
	for _, c := range s.cloud.OpenStack.Controllers {
		for i := range r.Hosts {
			if h := &r.Hosts[i]; h.Name == c.Name && h.State != status.Up {
				return nil, fmt.Errorf("cannot restore while %s is %s: what it would bring back later is not what was restored", h.Name, h.State)
			}
		}
	}
	out := map[string]string{}
	for _, st := range s.stores() {
		host, err := hostOf(r, st)
		if err != nil {
			return nil, fmt.Errorf("cannot restore %s: %w", st.Name, err)
		}
		for _, c := range r.Clusters {
			for _, m := range c.Members {
				if c.Name == st.Cluster && m.Leader {
					host = m.Host
				}
			}
		}
		out[st.Name] = host
	}
	return out, nil
}

// replaceDatabases stops what works with the databases, replaces them, and starts it
// again. Until all of it is done, a mark keeps others away.
func (s *session) replaceDatabases(ctx context.Context, file string, r *status.Report, at map[string]string) error {
	whole, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(s.mark(), []byte(whole+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.services(ctx, r, "stop"); err != nil {
		return s.cutOff(err)
	}
	stores := s.stores()
	_, err = s.a.walkBackup(file, func(name string, content io.Reader) error {
		i := slices.IndexFunc(stores, func(st backup.Store) bool { return st.Name == name })
		if i < 0 || stores[i].Load == nil {
			return nil
		}
		fmt.Fprintf(s.a.err, "%s: %s\n", at[name], name)
		return s.asRootFrom(ctx, at[name], stores[i].Load(at[name]), content)
	})
	if err != nil {
		return s.cutOff(err)
	}
	if err := s.services(ctx, r, "start"); err != nil {
		return s.cutOff(err)
	}
	return os.Remove(s.mark())
}

// mark is the file that says that databases may be in part.
func (s *session) mark() string { return filepath.Join(s.dir, "restoring") }

func (s *session) cutOff(err error) error {
	return fmt.Errorf("cannot restore: %w; services may be stopped and databases in part: run the same command again", err)
}

// torn reports that a restore was cut off.
func (s *session) torn() error {
	file, err := os.ReadFile(s.mark())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("a restore was cut off, and databases may be in part; run it again: %s", s.a.again("updraft restore", strings.TrimSpace(string(file))))
}

// services stops or starts what works with the databases, on all controllers.
func (s *session) services(ctx context.Context, r *status.Report, verb string) error {
	d := s.deployment()
	var g errgroup.Group
	for _, c := range s.cloud.OpenStack.Controllers {
		words := []string{"systemctl", verb}
		for i := range r.Hosts {
			for _, k := range r.Hosts[i].Containers {
				if r.Hosts[i].Name == c.Name && openstack.Paused(d, k.Name) {
					words = append(words, k.Name+".service")
				}
			}
		}
		g.Go(func() error {
			if len(words) == 2 {
				return fmt.Errorf("cannot see the services of %s", c.Name)
			}
			return s.controlUnits(ctx, c, words)
		})
	}
	return g.Wait()
}

func (s *session) controlUnits(ctx context.Context, h *spec.Host, words []string) error {
	if err := s.asRootInto(ctx, h.Name, transport.Quote(words...), io.Discard); err != nil {
		return fmt.Errorf("cannot %s services on %s: %w", words[1], h.Name, err)
	}
	return nil
}

// asRootFrom runs shell text as root on a host, which reads content. What a password
// for sudo leaves in its input is read over.
func (s *session) asRootFrom(ctx context.Context, host, script string, content io.Reader) error {
	const begin = "@@ begin"
	t, err := s.target(host)
	if err != nil {
		return err
	}
	o, err := elevated(t, []string{"sh", "-c", `while IFS= read -r line && [ "$line" != '` + begin + `' ]; do :; done` + "\n" + script})
	if err != nil {
		return err
	}
	var said strings.Builder
	err = s.fleet.Exec(ctx, host, o.line, io.MultiReader(strings.NewReader(o.stdin+begin+"\n"), content), io.Discard, &said)
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}
