package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// Files in the server's data directory, beside Galera's own.
const (
	viewFile = "gvwstate.dat"
	// PositionFile is written by start.sh whenever the server is started: its
	// position, and the view that it had left behind.
	PositionFile = "updraft-position"
	// wholeFile has the last view in which the server was seen to have all data.
	wholeFile = "updraft-whole"
)

// answerTime is how long a server may take to answer.
const answerTime = 2 * time.Second

// orderTime is how long after its election a server that waits may be started as
// the first of a cluster: a restart takes seconds. It is short because whoever begins
// a cluster by hand meanwhile would have two.
const orderTime = 60 * time.Second

// Server is the MariaDB of this host.
type Server struct {
	Host string
	// Socket is where it answers, Data its data directory.
	Socket, Data string
	// PIDFile has the number of its process.
	PIDFile string
	// Order is the file that makes start.sh begin a cluster.
	Order string
}

// Status is what a server that answers says of itself.
type Status struct {
	Primary bool
	// Apart is set when it is connected with others, or only with itself, in a
	// component that is not primary.
	Apart bool
	// Whole is set when it has all data: it is in step, or gives them to another.
	Whole bool
	// Serves is set when it takes statements.
	Serves   bool
	Position Position
	Text     string
}

// Ask asks the server.
//
// Source: Galera's documentation, "Status Variables"; the numbers of local states
// are those of its node state changes.
func (s Server) Ask(ctx context.Context) (Status, error) {
	rows, err := s.rows(ctx, "SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_local_state', 'wsrep_local_state_comment', "+
		"'wsrep_ready', 'wsrep_last_committed', 'wsrep_local_state_uuid')")
	if err != nil {
		return Status{}, err
	}
	v := map[string]string{}
	for _, r := range rows {
		if len(r) == 2 {
			v[r[0]] = r[1]
		}
	}
	return statusOf(v)
}

func statusOf(v map[string]string) (Status, error) {
	const donor, synced = "2", "4"
	if v["wsrep_cluster_status"] == "" {
		return Status{}, errors.New("the server does not say how its cluster is")
	}
	s := Status{Primary: v["wsrep_cluster_status"] == "Primary", Apart: v["wsrep_cluster_status"] == "non-Primary"}
	s.Whole = s.Primary && (v["wsrep_local_state"] == donor || v["wsrep_local_state"] == synced)
	s.Serves = s.Whole && v["wsrep_ready"] == "ON"
	s.Text = v["wsrep_cluster_status"] + ", " + v["wsrep_local_state_comment"]
	if n, err := strconv.ParseInt(v["wsrep_last_committed"], 10, 64); err == nil {
		s.Position = Position{UUID: v["wsrep_local_state_uuid"], Seqno: n}
	}
	return s, nil
}

// Report says how the server is. Where it has all data it notes in which view.
func (s Server) Report(ctx context.Context) (Report, error) {
	r := Report{Host: s.Host, Condition: Unknown}
	st, err := s.Ask(ctx)
	if err != nil {
		return s.waiting(), nil //nolint:nilerr // what does not answer may be waiting
	}
	view, err := s.view()
	if err != nil && st.Primary {
		return r, err
	}
	r.View, r.Position = view, st.Position
	if st.Primary {
		r.Condition, r.Whole = Primary, st.Whole
		if st.Whole {
			return r, s.noteWhole(view)
		}
		return r, nil
	}
	if st.Apart && err == nil {
		r.Condition, r.Whole = Live, s.whole(view)
	}
	return r, nil
}

// waiting is what there is to say of a server that does not answer: it waits when
// its last view is the one that it was started with. Had it been in a primary
// component since, it would have written another.
func (s Server) waiting() Report {
	r := Report{Host: s.Host, Condition: Unknown}
	noted, err := os.ReadFile(filepath.Join(s.Data, PositionFile))
	if err != nil {
		return r
	}
	position, id, _ := strings.Cut(strings.TrimSpace(string(noted)), " ")
	view, err := s.view()
	if err != nil || view.ID != id {
		return r
	}
	r.Condition, r.View, r.Whole = Waiting, view, s.whole(view)
	if p, err := ParsePosition(position); err == nil {
		r.Position = p
	}
	return r
}

// view is the server's last; none is no error.
func (s Server) view() (View, error) {
	text, err := os.ReadFile(filepath.Join(s.Data, viewFile))
	if errors.Is(err, fs.ErrNotExist) {
		return View{}, nil
	}
	if err != nil {
		return View{}, err
	}
	return ParseView(string(text))
}

func (s Server) whole(v View) bool {
	noted, err := os.ReadFile(filepath.Join(s.Data, wholeFile))
	return err == nil && v.ID != "" && string(bytes.TrimSpace(noted)) == v.ID
}

func (s Server) noteWhole(v View) error {
	if v.ID == "" || s.whole(v) {
		return nil
	}
	return renameio.WriteFile(filepath.Join(s.Data, wholeFile), []byte(v.ID+"\n"), 0o600)
}

// Begin makes the server begin the cluster from its last view, which has to be the
// one given still.
func (s Server) Begin(ctx context.Context, view string) error {
	now, err := s.Report(ctx)
	if err != nil {
		return err
	}
	if now.View.ID != view {
		return fmt.Errorf("its last view is %q by now", now.View.ID)
	}
	switch now.Condition {
	case Live:
		return s.bootstrap(ctx)
	case Waiting:
		return s.restart(view)
	case Primary, Unknown:
	}
	return fmt.Errorf("it is %s by now", now.Condition)
}

// bootstrap makes all that the server is connected with a primary component. A
// server that is in one by now ignores it. Since MariaDB 11 each of Galera's options
// is a variable of its own, and all of them together are one to read.
//
// Source: Galera's documentation, "pc.bootstrap"; MariaDB's, "wsrep_provider plugin".
func (s Server) bootstrap(ctx context.Context) error {
	err := s.tell(ctx, "SET GLOBAL wsrep_provider_pc_bootstrap = ON")
	var no *sqlError
	if errors.As(err, &no) && no.number == unknownVariable {
		return s.tell(ctx, "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=1'")
	}
	return err
}

func (s Server) tell(ctx context.Context, sql string) error {
	_, err := s.rows(ctx, sql)
	return err
}

// rows is what the server answers to one statement.
func (s Server) rows(ctx context.Context, sql string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := dial(ctx, s.Socket)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.query(sql)
}

// restart ends the server, which systemd starts again, with the order to begin a
// cluster. It is killed: in the state that it is in there is nothing to lose, and a
// server that ends in order forgets its view.
func (s Server) restart(view string) error {
	up, err := uptime()
	if err != nil {
		return err
	}
	until := up + int64(orderTime/time.Second)
	if err := renameio.WriteFile(s.Order, fmt.Appendf(nil, "%s %d\n", view, until), 0o644); err != nil {
		return err
	}
	return s.kill()
}

// kill kills the server's process, if there is one.
func (s Server) kill() error {
	text, err := os.ReadFile(s.PIDFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is about to be started
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", s.PIDFile, err)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "mariadbd" {
		return nil //nolint:nilerr // it has ended, or is not the server yet
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// uptime is how long the host has been up, in seconds: a clock that nobody sets,
// and that containers have, too.
//
// Source: proc_uptime(5).
func uptime() (int64, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	whole, _, _ := strings.Cut(string(text), ".")
	return strconv.ParseInt(whole, 10, 64)
}
