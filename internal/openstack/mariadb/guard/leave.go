package guard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	etcdclient "github.com/updraft-cloud/updraft/internal/openstack/etcd/client"
	"github.com/updraft-cloud/updraft/internal/retry"
)

const (
	// leaveTime bounds how long HAProxy is waited for, which looks every two seconds and
	// twice at what failed; drainTime, how long clients are.
	leaveTime = 6 * time.Second
	drainTime = 12 * time.Second
	// leaveEvery is how often either is looked at.
	leaveEvery = 200 * time.Millisecond
)

// Leave has clients go to another member before the server ends in order: its checks
// fail until each HAProxy has seen it, which then sends new connections elsewhere, and
// connections that nobody uses are ended one by one. A pool asks whether a connection
// is still there before it uses one, and makes another then; what is under way is waited
// for. Where there is no other member, the server just ends.
//
// Meanwhile two members are written to. Galera refuses one of two changes of the same
// row, as with any deadlock, which services try again.
func Leave(ctx context.Context, c Config) error {
	s := c.Server()
	alone, err := s.alone(ctx)
	if err != nil || alone {
		return err
	}
	if err := os.WriteFile(c.Leaving, nil, 0o600); err != nil {
		return err
	}
	if err := c.awaitLeft(ctx); err != nil {
		return err
	}
	return s.drain(ctx)
}

// Enter takes back what [Leave] did, before the server is started.
func Enter(c Config) error {
	if err := os.Remove(c.Leaving); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// awaitLeft waits until the guard says that all who ask for the server have seen that
// it leaves. Where it cannot be told, there is nothing more to wait for in the end.
func (c Config) awaitLeft(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	for {
		if left(ctx, client, "https://"+c.Listen+leftPath) || !retry.Wait(ctx, leaveEvery) {
			return nil
		}
	}
}

func left(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// client is one for the guard's own listener.
func (c Config) client() (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(c.Leaf, c.Leaf)
	if err != nil {
		return nil, err
	}
	roots, err := etcdclient.Roots(c.CA)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: c.Host,
	}}}, nil
}

// alone reports whether the server is the only member of its cluster.
func (s Server) alone(ctx context.Context) (bool, error) {
	rows, err := s.rows(ctx, "SHOW STATUS LIKE 'wsrep_cluster_size'")
	if err != nil {
		return false, err
	}
	return len(rows) != 1 || len(rows[0]) != 2 || rows[0][1] == "0" || rows[0][1] == "1", nil
}

// drain ends connections that have been idle, outside of a transaction, and waits until
// there are none. It begins with those that were for a second: between asking whether a
// connection is there and using it is much less, mostly. What is used all the time is
// idle for less, and the server's end would be sure to come between: so the time is
// halved every two seconds.
func (s Server) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for began := time.Now(); ; {
		none, err := s.endIdle(ctx, time.Second>>(time.Since(began)/(2*time.Second)))
		if err != nil || none || !retry.Wait(ctx, leaveEvery) {
			return err
		}
	}
}

// Clients' connections, and those of them that have waited for their client for some
// milliseconds.
const (
	clientsOf = "FROM information_schema.processlist WHERE user NOT IN ('root', 'system user', 'event_scheduler')"
	idle      = " AND command = 'Sleep' AND time_ms >= %d AND id NOT IN (SELECT trx_mysql_thread_id FROM information_schema.innodb_trx)"
)

// endIdle ends what has been idle for so long. none reports that no client is left.
func (s Server) endIdle(ctx context.Context, since time.Duration) (none bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := dial(ctx, s.Socket)
	if err != nil {
		return false, err
	}
	defer c.close()
	rows, err := c.query(fmt.Sprintf("SELECT id "+clientsOf+idle, since.Milliseconds()))
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		var gone *sqlError // it has ended by itself
		if _, err := c.query("KILL SOFT CONNECTION " + strings.Join(r, "")); err != nil && !errors.As(err, &gone) {
			return false, err
		}
	}
	rows, err = c.query("SELECT COUNT(*) " + clientsOf)
	if err != nil {
		return false, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return false, errors.New("the server does not say who its clients are")
	}
	return rows[0][0] == "0", nil
}
