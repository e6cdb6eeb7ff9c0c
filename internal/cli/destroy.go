package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/ui"
)

func (a *app) destroyCommand() *cobra.Command {
	var yes bool
	var only []string
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Take away all that updraft made, and nothing else",
		Long: `destroy removes what updraft has made for the cloud: resources on hosts that
stay, machines, networks, the package cache, and what updraft knows of them. It
works from any half-made state, and a second run finds nothing to do.

With --cloud NAME it needs no cloud file. With --only it takes away a part, which
the next up makes anew: a machine, say, whose image has changed.
` + linesHelp + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.loadForDestroy(a.cloud)
			if err != nil {
				return err
			}
			defer s.close()
			if !yes {
				what := cmp.Or(strings.Join(only, " "), "all")
				if err := a.confirm(fmt.Sprintf("Destroy %s of cloud %s? Type the cloud's name: ", what, s.cloud.Name), s.cloud.Name); err != nil {
					return err
				}
			}
			return s.destroy(cmd.Context(), only)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringArrayVar(&only, "only", nil,
		"take away a part only: `SELECTOR` is a host, a group, a role, or a recorded thing such as machine:web1 (repeatable)")
	cmd.Flags().StringVar(&a.cloud, "cloud", "", "the cloud's name, when its file is gone")
	return cmd
}

// loadForDestroy opens a session from the cloud file or, given a name, without
// one: the state knows what is to be removed. Clocks do not matter for that.
func (a *app) loadForDestroy(name string) (*session, error) {
	if name != "" {
		if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("%q is not the name of a cloud", name)
		}
		return a.open(&spec.Cloud{Name: name, Provider: spec.Provider{Name: a.knownProvider(name)}}, 0)
	}
	cloud, diags := spec.Load(a.file, spec.Options{Set: a.set})
	if cloud == nil || diags.HasErrors() {
		return nil, diags
	}
	return a.open(cloud, 0)
}

// knownProvider returns the provider that the state names, or the default.
func (a *app) knownProvider(name string) string {
	data, err := os.ReadFile(filepath.Join(a.cloudDir(name), "provider"))
	if err != nil {
		return "" // a cloud that was never applied
	}
	return strings.TrimSpace(string(data))
}

// confirm asks on a terminal; without one it refuses.
func (a *app) confirm(question, want string) error {
	if f, ok := a.in.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			return errors.New("this needs a person to agree; say --yes to go without")
		}
	}
	fmt.Fprint(a.err, question)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		return errors.New("nothing was done")
	}
	return nil
}

// destroy removes what is recorded, then whatever the provider still finds of
// the cloud, then the state; or of what is recorded only a part.
func (s *session) destroy(ctx context.Context, only []string) error {
	unlock, err := s.lock(ctx, "updraft destroy")
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }() // the end of the process would do it, too
	match, err := s.recorded(only)
	if err != nil {
		return err
	}
	r, err := s.begin()
	if err != nil {
		return err
	}
	ctx, stop, done := interruptible(ctx, s.a.err)
	defer done()
	empty, err := engine.NewGraph(nil, nil)
	if err != nil {
		return err
	}
	e := engine.New(empty, s.store, s.executor(), r.sink, engine.Options{})
	p, err := e.DestroyPlan(ctx, match)
	if err != nil {
		return err
	}
	res, err := r.carryOut(ctx, e, p, stop)
	if err != nil {
		return err
	}
	if res.Stopped || match != nil {
		return s.a.concluded(res, s.a.againDestroy(only))
	}
	return s.sweep(ctx, res)
}

func (a *app) againDestroy(only []string) string {
	return a.again("updraft destroy", onlyArgs(only)...)
}

// recorded returns what tells the selected records from others; nil if all are
// meant.
func (s *session) recorded(only []string) (func(engine.Record) bool, error) {
	if len(only) == 0 {
		return nil, nil // all
	}
	scopes, ids := map[string]bool{}, map[string]bool{}
	match := func(r engine.Record) bool { return ids[r.ID] || r.Scope != "" && scopes[r.Scope] }
	for _, sel := range only {
		hosts := []string{strings.TrimPrefix(sel, provision.KindMachine+":")}
		for _, h := range s.cloud.Select(sel) {
			hosts = append(hosts, h.Name)
		}
		found := false
		for _, h := range hosts {
			machine := provision.KindMachine + ":" + h
			if _, ok := s.records[machine]; ok {
				scopes[h], ids[machine], found = true, true, true
			}
		}
		if _, ok := s.records[sel]; ok {
			ids[sel], found = true, true
		}
		if !found {
			return nil, fmt.Errorf("--only %s: nothing of that name is recorded for %s", sel, s.cloud.Name)
		}
	}
	return match, nil
}

// sweep removes what no record tells of (a machine that was being made when
// updraft was killed) and, when nothing is left, the state itself.
func (s *session) sweep(ctx context.Context, res engine.Result) error {
	log := func(format string, args ...any) {
		if s.a.verbose {
			fmt.Fprintf(s.a.err, format+"\n", args...)
		}
	}
	if err := s.provider.RemoveAll(ctx, s.cloud.Name, log); err != nil {
		return fmt.Errorf("cannot remove all of %s: %w; run destroy again", s.cloud.Name, err)
	}
	if len(res.Failed) > 0 {
		return s.a.concluded(res, s.a.againDestroy(nil))
	}
	if err := s.store.Remove(ctx); err != nil {
		return fmt.Errorf("cannot remove the state: %w", err)
	}
	if s.a.json {
		return ui.JSONLine(s.a.out, "result", res)
	}
	fmt.Fprintf(s.a.err, "%s is gone: %d removed.\n", s.cloud.Name, res.Removed)
	return nil
}
