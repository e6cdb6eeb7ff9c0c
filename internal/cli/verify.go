package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/ui"
	"github.com/updraft-cloud/updraft/internal/verify"
	"github.com/updraft-cloud/updraft/internal/verify/report"
)

// reportFlags choose further forms of the report.
type reportFlags struct {
	html, junit string
	line        bool // as one line of JSON among others
}

func (f *reportFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.html, "html", "", "also write the report as one page to `FILE`")
	cmd.Flags().StringVar(&f.junit, "junit", "", "also write the report as JUnit XML to `FILE`")
}

func (a *app) verifyCommand() *cobra.Command {
	var reports reportFlags
	cmd := &cobra.Command{
		Use:   "verify [CHECK...]",
		Short: "Prove by test that the cloud does what it is for",
		Long: `verify runs the checks of the cloud file, each from its vantage point, and
reports: a table on stdout (or JSON), a page with plots, JUnit XML. Given names of
checks, it runs these alone.
` + exitHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			if err := s.choose(names); err != nil {
				return err
			}
			return s.verify(cmd.Context(), reports, 0)
		},
	}
	reports.add(cmd)
	return cmd
}

// verify runs all checks and reports. The error's status says if one did not pass.
func (s *session) verify(ctx context.Context, f reportFlags, settling time.Duration) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
	defer stop()
	rep := (&verify.Runner{}).Run(ctx, s.cloud.Name, s.jobs(settling))
	if err := s.report(rep, f); err != nil {
		return err
	}
	switch {
	case rep.Interrupted:
		return &exitError{code: exitInterrupted}
	case !rep.OK():
		return &exitError{code: exitChecks}
	}
	return nil
}

// choose leaves only the checks of these names, if there are any names.
func (s *session) choose(names []string) error {
	if len(names) == 0 {
		return nil
	}
	var known []string
	for _, c := range s.out.Checks {
		known = append(known, c.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no check %q; there are: %s", name, strings.Join(known, ", "))
		}
	}
	s.out.Checks = slices.DeleteFunc(s.out.Checks, func(c compile.Check) bool { return !slices.Contains(names, c.Name) })
	return nil
}

// jobs makes a job of each check for each vantage point.
func (s *session) jobs(settling time.Duration) []verify.Job {
	deployer := s.deployer()
	var jobs []verify.Job
	for _, c := range s.out.Checks {
		if len(c.From) == 0 {
			jobs = append(jobs, job(c, deployer, settling))
		}
		for _, host := range c.From {
			jobs = append(jobs, job(c, verify.FromHost(s.fleet, host), settling))
		}
	}
	return jobs
}

func job(c compile.Check, v verify.Vantage, settling time.Duration) verify.Job {
	return verify.Job{Name: c.Name, Check: c.Run, Vantage: v, Timeout: c.Timeout, Settling: settling}
}

// deployer is the deploy host as a vantage point, inside the lab where there is one.
func (s *session) deployer() *verify.Local {
	if _, ok := s.provider.(*lab.Provider); !ok {
		return &verify.Local{}
	}
	return &verify.Local{
		DialContext: s.dial,
		ListenICMP: func(ctx context.Context, v6 bool) (conn net.PacketConn, err error) {
			ns, err := netns.Open(lab.Namespace(s.cloud.Name))
			if err != nil {
				return nil, err
			}
			defer ns.Close()
			err = ns.Do(func() error {
				conn, err = verify.ListenICMP(ctx, v6)
				return err
			})
			return conn, err
		},
	}
}

// report writes the table or JSON, and the files that were asked for.
func (s *session) report(rep verify.Report, f reportFlags) error {
	err := errors.Join(
		writeIf(f.html, func(w io.Writer) error {
			steps, _ := lastRun(s.dir, 0) // the page is good without the run, too
			return report.HTML(w, rep, steps)
		}),
		writeIf(f.junit, func(w io.Writer) error { return report.JUnit(w, rep) }))
	if err != nil {
		return err
	}
	switch {
	case f.line:
		var doc bytes.Buffer
		if err := report.JSON(&doc, rep); err != nil {
			return err
		}
		return ui.JSONLine(s.a.out, "report", json.RawMessage(doc.Bytes()))
	case s.a.json:
		return report.JSON(s.a.out, rep)
	case len(rep.Results) == 0 && !rep.Interrupted:
		_, err := fmt.Fprintln(s.a.err, "There are no checks to make.")
		return err
	}
	return report.Table(s.a.out, rep, s.a.color())
}
