package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
	"github.com/updraft-cloud/updraft/internal/timeline"
)

// bundledRuns is how many of the last runs are packed.
const bundledRuns = 5

// bundleFlags are the flags of bundle.
type bundleFlags struct {
	output  string
	since   time.Duration
	journal int64 // MiB
}

func (a *app) bundleCommand() *cobra.Command {
	var f bundleFlags
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Pack logs and state for somebody who helps, without secrets",
		Long: `bundle packs what is needed to look into the cloud from afar into one .tar.gz:
first summary.txt with the probable cause, then the report of updraft status, the
hosts' journals, configuration, containers, networks (OVN and Open vSwitch
included), clocks and versions, and what updraft itself did in its last runs. The
name of the file is printed on stdout.

It changes nothing. The cloud's secrets are taken out in every form that they may
have been written in; what still looks like one is withheld. Have a look yourself
before you give it away: names, addresses and what your own programs log are in it.

Hosts that do not answer are named in the summary, and do not keep the others out.

  updraft bundle --since 30m
  tar -xzOf openstack-20261121T120000Z.tar.gz --wildcards '*/summary.txt'
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.since <= 0 || f.journal <= 0 {
				return errors.New("--since and --journal are to be more than nothing")
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			return s.bundle(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVarP(&f.output, "out", "o", "", "write to `FILE` (default: CLOUD-TIME.tar.gz here)")
	cmd.Flags().DurationVar(&f.since, "since", 6*time.Hour, "how far journals go back")
	cmd.Flags().Int64Var(&f.journal, "journal", 16, "how many `MIB` of each journal, from its end")
	return cmd
}

func (s *session) bundle(ctx context.Context, f bundleFlags) error {
	r, err := s.status(ctx, statusTimeout)
	if err != nil {
		return err
	}
	red, err := s.redactor()
	if err != nil {
		return err
	}
	name := s.cloud.Name + "-" + r.At.UTC().Format("20060102T150405Z")
	o := logbundle.Options{
		Name: name, Cloud: s.cloud.Name, At: r.At, Hosts: s.bundleHosts(r), Run: s.asRootInto, Redactor: red,
		Since: r.At.Add(-f.since), Journal: f.journal << 20, Files: s.bundleFiles(r), Causes: s.causes(r), Version: s.a.version,
	}
	if f.output == "" {
		f.output = name + ".tar.gz"
	}
	out, err := renameio.NewPendingFile(f.output, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	defer func() { _ = out.Cleanup() }()
	res, err := logbundle.Write(ctx, out, o)
	if err == nil {
		err = out.CloseAtomicallyReplace()
	}
	if err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	res.File = f.output
	return s.a.showBundle(res)
}

func (a *app) showBundle(res logbundle.Result) error {
	if a.json {
		return a.printJSON(res)
	}
	for _, m := range res.Missed {
		fmt.Fprintf(a.err, "not collected: %s: %s\n", m.What, m.Why)
	}
	_, err := fmt.Fprintln(a.out, res.File)
	return err
}

// bundleHosts are the hosts with what their services have to be looked at.
func (s *session) bundleHosts(r *status.Report) []logbundle.Host {
	var out []logbundle.Host
	for i, h := range s.cloud.Hosts {
		bh := logbundle.Host{Name: h.Name}
		switch st := &r.Hosts[i]; st.State {
		case status.Up:
		case status.Silent:
			bh.Away = "it does not answer: " + st.Reason
		case status.Off:
			bh.Away = "it is off"
		case status.Missing:
			bh.Away = "there is no such machine"
		}
		if s.cloud.OpenStack != nil {
			bh.Looks = openstack.Looks(&stack.Deployment{Cloud: s.cloud, Spec: s.cloud.OpenStack}, h)
		}
		out = append(out, bh)
	}
	return out
}

// causes are what status found, and then why the last run failed, if it did.
func (s *session) causes(r *status.Report) []logbundle.Cause {
	var out []logbundle.Cause
	for _, p := range r.Problems {
		out = append(out, logbundle.Cause{What: p.What, Mend: p.Mend})
	}
	names := s.runs()
	if len(names) == 0 {
		return out
	}
	last := names[len(names)-1]
	if e := firstFailure(last); e != nil {
		out = append(out, logbundle.Cause{
			What: fmt.Sprintf("the last run (%s) failed first at %s: %s", e.Time.UTC().Format(time.RFC3339), e.ID, e.Err),
			Mend: "updraft up goes on from there",
		})
	}
	return out
}

// runs are the records of the last runs, the newest last.
func (s *session) runs() []string {
	names, _ := filepath.Glob(filepath.Join(s.dir, "runs", "*.jsonl")) // the pattern is good
	return names[max(0, len(names)-bundledRuns):]
}

// firstFailure is the first step of a run that failed for good; nil for none.
func firstFailure(name string) *engine.Event {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	for {
		var e engine.Event
		if dec.Decode(&e) != nil { // the end, or a line torn by a kill
			return nil
		}
		if e.Type == engine.EvFail {
			return &e
		}
	}
}

// bundleFiles are this computer's.
func (s *session) bundleFiles(r *status.Report) []logbundle.File {
	out := []logbundle.File{
		{Name: "status.txt", Write: func(w io.Writer) error { return status.Text(w, r, false) }},
		{Name: "status.json", Write: func(w io.Writer) error { return json.NewEncoder(w).Encode(r) }},
		{Name: "deployer/versions.txt", Write: s.versions},
		{Name: "deployer/timeline.txt", Write: func(w io.Writer) error {
			steps, err := lastRun(s.dir, 0)
			if err != nil {
				return err
			}
			return timeline.New(steps).Text(w)
		}},
	}
	for _, name := range append([]string{filepath.Join(s.dir, "state.json"), filepath.Join(s.dir, "journal.jsonl")}, s.runs()...) {
		if _, err := os.Stat(name); err == nil {
			rel, _ := filepath.Rel(s.dir, name) // it is below it
			out = append(out, logbundle.File{Name: "deployer/" + rel, Write: copyOf(name)})
		}
	}
	for i, name := range s.cloud.Files {
		out = append(out, logbundle.File{Name: fmt.Sprintf("deployer/cloud-file-%d-%s", i+1, filepath.Base(name)), Write: copyOf(name), Config: true})
	}
	return slices.DeleteFunc(out, func(f logbundle.File) bool { return strings.HasSuffix(f.Name, "timeline.txt") && len(s.runs()) == 0 })
}

func copyOf(name string) func(io.Writer) error {
	return func(w io.Writer) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
}

func (s *session) versions(w io.Writer) error {
	release := "none"
	if s.cloud.OpenStack != nil {
		release = s.cloud.OpenStack.Release
	}
	osRelease, _ := os.ReadFile("/etc/os-release") // for people only
	_, err := fmt.Fprintf(w, "updraft %s, %s %s/%s\nprovider %s, openstack %s\n\n%s", s.a.version, runtime.Version(), runtime.GOOS, runtime.GOARCH,
		s.provider.Name(), release, osRelease)
	return err
}

// redactor knows the cloud's secrets, and those that the cloud file itself holds.
func (s *session) redactor() (*secret.Redactor, error) {
	store, err := secret.Open(s.a.secretOptions(s.cloud.Name))
	if err != nil {
		return nil, err
	}
	red := store.Redactor()
	for _, h := range s.cloud.Hosts {
		for _, in := range h.Resources {
			red.Hide(in.Kind+" of the cloud file", hidden(in)...)
		}
	}
	return red, nil
}

// meansSecret tells by its name that an attribute of a resource is a secret.
var meansSecret = regexp.MustCompile(`(?i)pass|secret|token|private`)

// hidden returns what of a resource in the cloud file must stay secret: of a
// sensitive one, its content and the lines of that.
func hidden(in spec.Inline) [][]byte {
	var body map[string]any
	if json.Unmarshal(in.Body.JSON, &body) != nil {
		return nil
	}
	sensitive, _ := body["sensitive"].(bool)
	var out [][]byte
	for name, v := range body {
		text, ok := v.(string)
		if !ok || !meansSecret.MatchString(name) && (!sensitive || name != "content") {
			continue
		}
		for line := range strings.Lines(text) {
			out = append(out, []byte(strings.TrimSpace(line)))
		}
		out = append(out, []byte(text))
	}
	return out
}
