package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// Exit statuses, as documented in every command's help.
const (
	exitOK          = 0
	exitFailed      = 1 // something failed; the message says what
	exitChanges     = 2 // plan: there is something to do
	exitChecks      = 3 // verify, up: a check did not pass
	exitLocked      = 4 // another updraft is at work on the cloud
	exitInterrupted = 130
)

const exitHelp = `
EXIT STATUS
  0    done
  1    something failed; the message says what
  2    plan only: there are changes to make
  3    a check did not pass
  4    another updraft is at work on this cloud
  130  interrupted; run the command again to go on`

// linesHelp says what --json means for commands that go on for a while.
const linesHelp = `
With --json every line of stdout is one object: {"type": "event", "event": {…}}
as things happen, {"type": "result", "result": {…}} when all is done, and, if
checks were run, {"type": "report", "report": {…}} with what they found.
`

// exitError carries an exit status. An empty text means that everything was
// said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// app holds what all commands share: streams and global flags.
type app struct {
	in       io.Reader
	out, err io.Writer
	version  string

	file     string
	set      []string
	stateDir string
	identity string // of age, given by the user
	cloud    string
	json     bool
	verbose  bool
	noColor  bool
}

// Main runs the command line and returns the exit status.
func Main(ctx context.Context, version string, args []string, in io.Reader, out, errw io.Writer) int {
	a := &app{in: in, out: out, err: errw, version: version}
	root := a.root()
	root.SetArgs(args)
	return a.status(root.ExecuteContext(ctx))
}

// Root returns the command tree, for the generators of man pages and reference.
func Root() *cobra.Command {
	return (&app{in: os.Stdin, out: os.Stdout, err: os.Stderr}).root()
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "updraft",
		Short: "Raise a cloud from one file",
		Long: `updraft reads one cloud file and makes what it describes: machines, prepared
and configured hosts, and the proof by test that all of it works.

  updraft init        write a commented cloud file
  updraft plan        show what would be done
  updraft up          do it, prove it, hand it over
  updraft destroy     take it all away again
` + exitHelp,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			// What is kept and handed over must hold in any directory.
			a.stateDir, err = filepath.Abs(a.stateDir)
			return err
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       a.version,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	f := root.PersistentFlags()
	f.StringVarP(&a.file, "file", "f", "cloud.yaml", "cloud file")
	f.StringArrayVar(&a.set, "set", nil, "override a variable of the cloud file: `KEY=VALUE` (repeatable)")
	f.StringVar(&a.stateDir, "state", defaultStateDir(), "directory in which updraft keeps what it knows of clouds")
	f.StringVar(&a.identity, "identity", "", "age identity `FILE` that the cloud's secrets are encrypted to (default: identity.age in the state, made when needed)")
	f.BoolVar(&a.json, "json", false, "results and events as JSON on stdout")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "show what the steps themselves say")
	f.BoolVar(&a.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colours and no live view")
	root.AddCommand(
		a.initCommand(), a.validateCommand(), a.schemaCommand(),
		a.planCommand(), a.applyCommand(), a.upCommand(), a.destroyCommand(),
		a.statusCommand(), a.maintenanceCommand(), a.restartCommand(), a.verifyCommand(), a.handoffCommand(), a.timelineCommand(),
		a.sshCommand(), a.execCommand(), a.logsCommand(), a.bundleCommand(), a.backupCommand(), a.restoreCommand(),
		a.secretsCommand(), a.openstackCommand(), a.openCommand(), a.lbCommand(),
		a.labCommand(), a.imageCommand(), a.cacheCommand(), a.genCommand(),
	)
	return root
}

// status turns an error into an exit status and says what was not said yet.
func (a *app) status(err error) int {
	var ee *exitError
	var held *engine.HeldError
	var list diag.List
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ee):
		if ee.err != nil {
			fmt.Fprintf(a.err, "updraft: %v\n", ee.err)
		}
		return ee.code
	case errors.As(err, &list):
		fmt.Fprintln(a.err, list.Error())
		return exitFailed
	case errors.As(err, &held):
		fmt.Fprintf(a.err, "updraft: %v\n", err)
		return exitLocked
	case errors.Is(err, context.Canceled), errors.Is(err, engine.ErrStopped):
		fmt.Fprintln(a.err, "updraft: interrupted; run the same command again to go on")
		return exitInterrupted
	}
	fmt.Fprintf(a.err, "updraft: %v\n", err)
	return exitFailed
}

// defaultStateDir is /var/lib/updraft for root, otherwise the user's state
// directory (XDG Base Directory Specification).
func defaultStateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "updraft")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/updraft"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".updraft"
	}
	return filepath.Join(home, ".local", "state", "updraft")
}

// rootCache is where root keeps what can be had again.
const rootCache = "/var/cache/updraft"

// packagePool is where packages are kept.
func (a *app) packagePool() string { return filepath.Join(a.cacheDir(), "packages") }

// cacheDir holds what can be had again: root file systems, container images,
// packages. It is absolute, as it is mounted into machines: a relative
// XDG_CACHE_HOME does not count (XDG Base Directory Specification).
func (a *app) cacheDir() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "updraft")
	}
	if os.Geteuid() == 0 {
		return rootCache
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(a.stateDir, "cache")
	}
	return filepath.Join(dir, "updraft")
}
