package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/local"
	"github.com/updraft-cloud/updraft/internal/lb/driver/netns"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/driver/openstack"
	"github.com/updraft-cloud/updraft/internal/lb/driver/secrets"
)

// The names of drivers, as on the command line.
const (
	driverNoop     = "noop"
	driverLocal    = "local"
	driverNetns    = "netns"
	driverNeutron  = "neutron"
	driverBarbican = "barbican"
	authNone       = "noauth"
	authKeystone   = "keystone"
)

type drivers struct {
	network driver.Network
	compute driver.Compute // nil without a controller
	secrets driver.Secrets
	local   *local.Network // nil with another
}

// open makes the drivers, and refuses those that cannot work together. The
// service's id marks what is its own in a cloud.
func (c Config) open(service string) (drivers, error) {
	var d drivers
	if c.Compute == driverNetns && c.Network != driverLocal {
		return d, fmt.Errorf("cannot run amphorae in namespaces with the network %q: they are plugged into bridges of this computer, which --network local declares", c.Network)
	}
	var cloud *openstack.Cloud
	var err error
	if c.Network == driverNeutron || c.Secrets == driverBarbican {
		way, err := c.Cloud.transport()
		if err != nil {
			return d, err
		}
		if cloud, err = openstack.New(c.Cloud.Account, way); err != nil {
			return d, err
		}
	}
	if d.network, d.local, err = c.openNetwork(cloud, service); err != nil {
		return d, err
	}
	if d.secrets, err = c.openSecrets(cloud); err != nil {
		return d, err
	}
	if c.WithController {
		d.compute, err = c.openCompute(d)
	}
	return d, err
}

func (c Config) openNetwork(cloud *openstack.Cloud, service string) (driver.Network, *local.Network, error) {
	switch c.Network {
	case driverNoop:
		return noop.Network{}, nil, nil
	case driverLocal:
		if c.Networks == "" {
			return nil, nil, errors.New("local networks need a file that declares them: --networks FILE")
		}
		n, err := local.Open(local.Options{File: c.Networks, Dir: filepath.Join(c.Data, networkDir)})
		return n, n, err
	case driverNeutron:
		return openstack.NewNetwork(cloud, service), nil, nil
	}
	return nil, nil, fmt.Errorf("there is no network driver %q", c.Network)
}

func (c Config) openSecrets(cloud *openstack.Cloud) (driver.Secrets, error) {
	switch c.Secrets {
	case driverNoop:
		return &noop.Secrets{}, nil
	case driverLocal:
		return secrets.Open(SecretsDir(c.Data), c.Identity), nil
	case driverBarbican:
		return openstack.NewSecrets(cloud), nil
	}
	return nil, fmt.Errorf("there is no driver of secrets %q", c.Secrets)
}

func (c Config) openCompute(d drivers) (driver.Compute, error) {
	switch c.Compute {
	case driverNoop:
		return noop.Compute{}, nil
	case driverNetns:
		if err := d.local.Prepare(); err != nil {
			return nil, err
		}
		return netns.New(netns.Options{Dir: filepath.Join(c.Data, amphoraDir), Agent: c.Agent})
	}
	return nil, fmt.Errorf("there is no compute driver %q", c.Compute)
}

// maxConnections bounds what is asked of one service of the cloud at a time: a
// flood of tokens that nobody knows shall not become one of Keystone.
const maxConnections = 64

// transport is the way to the cloud's services.
func (c Cloud) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = maxConnections, maxConnections
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pool, err := authorities(c.CA)
		if err != nil {
			return nil, fmt.Errorf("cannot read the authority of the cloud: %w", err)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

// authorities reads certificates, PEM.
func authorities(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return pool, nil
}

// Config reads the files; without any there is no TLS.
func (e EtcdTLS) Config() (*tls.Config, error) {
	if e == (EtcdTLS{}) {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CA != "" {
		pool, err := authorities(e.CA)
		if err != nil {
			return nil, fmt.Errorf("cannot read the authority of etcd: %w", err)
		}
		out.RootCAs = pool
	}
	if e.Certificate != "" || e.Key != "" {
		pair, err := tls.LoadX509KeyPair(e.Certificate, e.Key)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificate for etcd: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
