package store

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// childVariable names the directory in which this program, as a child of a test,
// writes until it is killed.
const childVariable = "LB_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver prints the id of each load balancer that was acknowledged.
func writeForEver(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100_000 { // it is killed long before
				lb := newLB("p")
				p := pool(lb.ID)
				err := s.Update(context.Background(), func(tx *Tx) error {
					if err := tx.Create(lb); err != nil {
						return err
					}
					return tx.Create(p)
				})
				if err != nil {
					return
				}
				mu.Lock()
				fmt.Println(lb.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

func TestWhatWasAcknowledgedSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := dirOf(t)
	acked := map[string]bool{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if id := lines.Text(); strings.Count(id, "-") == 4 && len(id) == 36 { // the last may be cut
				acked[id] = true
			}
			if n == 100+37*round {
				_ = cmd.Process.Kill() // what it still said is read on
			}
		}
		_ = cmd.Wait() // it was killed
	}
	s := open(t, Options{Dir: dir})
	for id := range acked {
		if tree := s.View().Tree(id); tree == nil || len(tree.Pools()) != 1 {
			t.Errorf("load balancer %s was acknowledged and is lost, or is not whole", id)
		}
	}
	if len(acked) < 300 {
		t.Errorf("only %d writes were acknowledged", len(acked))
	}
	mustCheck(t, s)
}

func TestAClusterIsReachedByTLSOnly(t *testing.T) {
	t.Parallel()
	ca, err := pki.NewAuthority("etcd", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM([]byte(ca.Cert))
	pair := func(name string) tls.Certificate {
		cert, key, err := ca.Issue(name, []string{"127.0.0.1"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	m, err := startMember(t.Context(), Options{Dir: dirOf(t)}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := v3rpc.Server(m.etcd.Server, &tls.Config{Certificates: []tls.Certificate{pair("etcd")}, ClientCAs: trust, ClientAuth: tls.RequireAndVerifyClientCert}, nil)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); m.close() })

	o := Options{Endpoints: []string{"https://" + l.Addr().String()}, WriteTimeout: 2 * time.Second}
	o.TLS = &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12}
	if s, err := Open(t.Context(), o); err == nil {
		_ = s.Close()
		t.Error("a client without a certificate was let in")
	}
	o.TLS.Certificates = []tls.Certificate{pair("lb")}
	s := open(t, o)
	lb := newLB("p")
	update(t, s, func(tx *Tx) error { return tx.Create(lb) })
	if s.View().Tree(lb.ID) == nil || s.View().Tree(lb.ID).LB.ProvisioningStatus != model.Active {
		t.Error("what was written is not there")
	}
}
