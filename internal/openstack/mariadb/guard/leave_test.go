package guard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// asks is what the guard answers at a path to somebody.
func asks(h http.Handler, who, path string) int {
	r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	r.RemoteAddr = who + ":1234"
	h.ServeHTTP(w, r)
	return w.Code
}

func TestOneThatLeavesHasLeftWhenAllWhoAskKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Leaving: filepath.Join(t.TempDir(), "leaving")}
		h := Check(func(context.Context) (Status, error) { return Status{Serves: true}, nil }, c.Leaving)
		const yes, no = http.StatusOK, http.StatusServiceUnavailable
		leave := func() {
			if err := os.WriteFile(c.Leaving, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []struct {
			what, who, path string
			before          func()
			want            int
		}{
			{"one that serves", "192.0.2.1", CheckPath, nil, yes},
			{"has not left", "192.0.2.1", leftPath, nil, no},
			{"another asks", "192.0.2.2", CheckPath, nil, yes},
			{"it leaves", "192.0.2.1", CheckPath, leave, no},
			{"one knows", "192.0.2.1", CheckPath, nil, no},
			{"which is not enough", "192.0.2.1", leftPath, nil, no},
			{"the other was told once", "192.0.2.2", CheckPath, nil, no},
			{"which is not enough either", "192.0.2.1", leftPath, nil, no},
			{"and twice", "192.0.2.2", CheckPath, nil, no},
			{"now it has left", "192.0.2.1", leftPath, nil, yes},
			{"it is started again", "192.0.2.1", CheckPath, func() { _ = Enter(c) }, yes},
			{"and leaves", "192.0.2.2", CheckPath, leave, no},
			{"with two to tell", "192.0.2.2", leftPath, nil, no},
			{"who both ask no more", "192.0.2.2", leftPath, func() { time.Sleep(askersTime + time.Second) }, yes},
		} {
			if step.before != nil {
				step.before()
			}
			if got := asks(h, step.who, step.path); got != step.want {
				t.Errorf("%s: got %d, want %d", step.what, got, step.want)
			}
		}
	})
}

func TestOneThatIsAloneOrDownJustEnds(t *testing.T) {
	alone, _ := mariadb(t, map[string]string{"wsrep_cluster_size": "1"})
	for _, x := range []struct {
		what, socket string
		fails        bool
	}{{"alone", alone, false}, {"down", "/nowhere", true}} {
		c := Config{Socket: x.socket, Leaving: filepath.Join(t.TempDir(), "leaving")}
		if err := Leave(t.Context(), c); (err != nil) != x.fails {
			t.Errorf("%s: %v", x.what, err)
		}
		if _, err := os.Stat(c.Leaving); err == nil {
			t.Errorf("%s: nobody is sent to it any more", x.what)
		}
	}
	if err := Enter(Config{Leaving: filepath.Join(t.TempDir(), "leaving")}); err != nil {
		t.Error(err)
	}
}
