package fleet

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// Exec runs a shell line on a host as the login user, with the given streams;
// stdin may be nil. A status other than zero is a [*transport.ExitError].
func (f *Fleet) Exec(ctx context.Context, name, line string, stdin io.Reader, stdout, stderr io.Writer) error {
	s, err := f.enter(ctx, name, false)
	if err != nil {
		return err
	}
	p, err := s.conn.Start(ctx, line)
	if err != nil {
		return err
	}
	go feed(p, stdin)
	var wg sync.WaitGroup
	var outErr, errErr error
	wg.Go(func() { _, outErr = io.Copy(stdout, p.Stdout()) })
	wg.Go(func() { _, errErr = io.Copy(stderr, p.Stderr()) })
	wg.Wait()
	err = p.Wait()
	var exit *transport.ExitError
	if errors.As(err, &exit) {
		return err
	}
	return errors.Join(err, outErr, errErr)
}

// feed copies stdin to a process. A process that ends without reading it all is
// no fault.
func feed(p transport.Process, stdin io.Reader) {
	in := p.Stdin()
	if stdin != nil {
		_, _ = io.Copy(in, stdin)
	}
	_ = in.Close()
}
