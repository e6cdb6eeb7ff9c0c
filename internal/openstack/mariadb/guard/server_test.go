package guard

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mariadb is a server at a socket that greets, wants another proof, and answers each
// statement with the rows.
func mariadb(t *testing.T, rows map[string]string) (socket string, asked *[]string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var statements []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveMariaDB(conn, rows, &statements)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return socket, &statements
}

func serveMariaDB(conn net.Conn, rows map[string]string, asked *[]string) {
	defer conn.Close()
	seq := byte(0)
	send := func(p string) {
		_, _ = conn.Write(append([]byte{byte(len(p)), 0, 0, seq}, p...))
		seq++
	}
	receive := func() string {
		h := make([]byte, 4)
		if _, err := io.ReadFull(conn, h); err != nil {
			return ""
		}
		p := make([]byte, int(h[0])|int(h[1])<<8)
		_, _ = io.ReadFull(conn, p)
		seq = h[3] + 1
		return string(p)
	}
	send("\x0a11.8.0-MariaDB\x00")
	if !strings.Contains(receive(), "root\x00") {
		send("\xff\x15\x04#28000Access denied")
		return
	}
	send("\xfeunix_socket\x00")
	receive()
	send("\x00\x00\x00\x02\x00\x00\x00")
	sql := receive()
	*asked = append(*asked, strings.TrimPrefix(sql, "\x03"))
	if strings.Contains(sql, "wsrep_provider_pc_bootstrap") && rows["version"] == "10.11" {
		send("\xff\xa9\x04#HY000Unknown system variable")
		return
	}
	if strings.HasPrefix(sql, "\x03SET") {
		send("\x00\x00\x00\x02\x00\x00\x00")
		return
	}
	const eof = "\xfe\x00\x00\x02\x00"
	for _, p := range []string{"\x02", "column", "column", eof} {
		send(p)
	}
	for k, v := range rows {
		send(string([]byte{byte(len(k))}) + k + string([]byte{byte(len(v))}) + v)
	}
	send(eof)
}

// galera are the variables of a server.
func galera(cluster, local, comment, ready string) map[string]string {
	return map[string]string{
		"wsrep_cluster_status": cluster, "wsrep_local_state": local, "wsrep_local_state_comment": comment, "wsrep_ready": ready,
		"wsrep_last_committed": "10", "wsrep_local_state_uuid": "c0ffee",
	}
}

const viewOfA = "my_uuid: a\n#vwbeg\nview_id: 3 5e21 7\nbootstrap: 0\nmember: a 0\nmember: b 0\nmember: c 0\n#vwend\n"

func (s Server) has(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Data, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAServerIsReportedAsItIs(t *testing.T) {
	view := three("a")
	for _, c := range []struct {
		name  string
		vars  map[string]string // nil when it does not answer
		files map[string]string
		want  Report
	}{
		{"in the primary component", galera("Primary", "4", "Synced", "ON"), map[string]string{viewFile: viewOfA}, says("a", Primary, view, at(10))},
		{
			"in the primary component, without all data", galera("Primary", "1", "Joining", "OFF"), map[string]string{viewFile: viewOfA},
			Report{Host: "a", Condition: Primary, View: view, Position: at(10)},
		},
		{
			"apart, after it had all data in that view", galera("non-Primary", "0", "Initialized", "OFF"),
			map[string]string{viewFile: viewOfA, wholeFile: "5e21:7\n"}, says("a", Live, view, at(10)),
		},
		{
			"apart, when that was in an earlier view", galera("non-Primary", "0", "Initialized", "OFF"), map[string]string{viewFile: viewOfA, wholeFile: "5e21:6\n"},
			Report{Host: "a", Condition: Live, View: view, Position: at(10)},
		},
		{"not connected at all", galera("Disconnected", "0", "Initialized", "OFF"), nil, Report{Host: "a", Condition: Unknown, Position: at(10)}},
		{
			"being started, with the view that it was started with", nil,
			map[string]string{viewFile: viewOfA, PositionFile: "c0ffee:9 5e21:7\n", wholeFile: "5e21:7\n"}, says("a", Waiting, view, at(9)),
		},
		{
			"silent, with another view than it was started with", nil,
			map[string]string{viewFile: viewOfA, PositionFile: "c0ffee:9 5e21:6\n"}, Report{Host: "a", Condition: Unknown},
		},
		{"being started after it left in order", nil, map[string]string{PositionFile: "c0ffee:9 \n"}, Report{Host: "a", Condition: Waiting, Position: at(9)}},
		{"never started", nil, nil, Report{Host: "a", Condition: Unknown}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Server{Host: "a", Socket: "/nowhere", Data: t.TempDir()}
			if c.vars != nil {
				s.Socket, _ = mariadb(t, c.vars)
			}
			for f, content := range c.files {
				s.has(t, f, content)
			}
			got, err := s.Report(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.want.Condition == Primary && s.whole(view) != c.want.Whole {
				t.Errorf("that it has all data is noted: %t", s.whole(view))
			}
		})
	}
}

func TestOneThatRunsIsMadePrimaryByTheServerItself(t *testing.T) {
	for version, want := range map[string]string{
		"11.8": "\nSET GLOBAL wsrep_provider_pc_bootstrap = ON", "10.11": "\nSET GLOBAL wsrep_provider_options = 'pc.bootstrap=1'",
	} {
		vars := galera("non-Primary", "0", "Initialized", "OFF")
		vars["version"] = version
		socket, asked := mariadb(t, vars)
		s := Server{Host: "a", Socket: socket, Data: t.TempDir()}
		s.has(t, viewFile, viewOfA)
		if err := s.Begin(t.Context(), "5e21:7"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(*asked, "\n"); !strings.HasSuffix(got, want) {
			t.Errorf("%s was told:\n%s", version, got)
		}
		if err := s.Begin(t.Context(), "5e21:6"); err == nil || !strings.Contains(err.Error(), "by now") {
			t.Errorf("from a view that is not its last: %v", err)
		}
	}
}

func TestOneThatWaitsIsOrderedForAMinute(t *testing.T) {
	dir := t.TempDir()
	s := Server{Host: "a", Socket: "/nowhere", Data: dir, Order: filepath.Join(dir, "begin"), PIDFile: filepath.Join(dir, "pid")}
	s.has(t, viewFile, viewOfA)
	s.has(t, PositionFile, "c0ffee:9 5e21:7\n")
	if err := s.Begin(t.Context(), "5e21:7"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.Order)
	if err != nil || !strings.HasPrefix(string(text), "5e21:7 ") {
		t.Errorf("the order is %q, %v", text, err)
	}
}

func TestChecksAreAnsweredByWhatTheServerDoes(t *testing.T) {
	for _, c := range []struct {
		name string
		vars map[string]string
		want int
	}{
		{"one that is in step serves", galera("Primary", "4", "Synced", "ON"), http.StatusOK},
		{"a donor serves", galera("Primary", "2", "Donor/Desynced", "ON"), http.StatusOK},
		{"one that joins does not", galera("Primary", "1", "Joining", "OFF"), http.StatusServiceUnavailable},
		{"one in a minority does not", galera("non-Primary", "0", "Initialized", "OFF"), http.StatusServiceUnavailable},
		{"one that is down does not", nil, http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Server{Socket: "/nowhere"}
			if c.vars != nil {
				s.Socket, _ = mariadb(t, c.vars)
			}
			w := httptest.NewRecorder()
			Check(s.Ask, "/nowhere").ServeHTTP(w, httptest.NewRequest(http.MethodGet, CheckPath, nil))
			if w.Code != c.want {
				t.Errorf("it says %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestAServerThatRefusesSaysWhy(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("\x1d\x00\x00\x00\xff\x10\x04#08004Too many connections"))
	}()
	_, err = Server{Socket: socket}.Ask(context.Background())
	if err == nil || !strings.Contains(err.Error(), "error 1040: Too many conn") {
		t.Errorf("it says %v", err)
	}
}
