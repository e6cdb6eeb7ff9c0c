// Command updraft-keys keeps Keystone's keys on a controller as the time wants them.
// updraft carries it and puts it there; a timer of systemd runs it.
//
//	updraft-keys apply [-at TIME] FILE
//	updraft-keys check [-at TIME] FILE
//
// apply rotates what is due. check changes nothing, and fails when something is.
// With a time (RFC 3339) both look at that in place of the clock.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/keystone/keyring"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "updraft-keys:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	if len(args) == 0 || args[0] != "apply" && args[0] != "check" {
		return errors.New("say apply or check")
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	at := f.String("at", "", "time to look at, as in RFC 3339, in place of the clock's")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return fmt.Errorf("%s needs the file that says where keys are", args[0])
	}
	now := time.Now()
	if *at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, *at); err != nil {
			return err
		}
	}
	config, lock, err := keyring.Open(f.Arg(0))
	if err != nil {
		return err
	}
	defer lock.Close()
	if args[0] == "check" {
		return check(config, now)
	}
	return apply(out, config, now)
}

func check(config keyring.Config, now time.Time) error {
	var errs []error
	for _, r := range config.Repositories {
		errs = append(errs, r.Check(now))
	}
	return errors.Join(errs...)
}

// apply goes on to the next repository when there is something wrong with one.
func apply(out io.Writer, config keyring.Config, now time.Time) error {
	var errs []error
	for _, r := range config.Repositories {
		changed, err := r.Apply(now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if last, next := r.Rotates(now); changed {
			fmt.Fprintf(out, "%s: the primary key is that of %s, the next one's turn comes at %s\n", r.Name, last.Format(time.RFC3339), next.Format(time.RFC3339))
		}
	}
	return errors.Join(errs...)
}
