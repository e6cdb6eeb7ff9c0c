// Package stack is the contract of OpenStack's services: what a service may look
// at and what it asks for.
//
// One directory per service lies beside this one. A service says all about
// itself: its configuration, databases, users, one-time jobs, containers, API
// endpoints and what it needs of others. Building is pure: the same deployment
// gives the same items, and nothing is read from or written to the world.
package stack

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// Service is a part of the cloud, such as Keystone.
type Service struct {
	// Name is the directory on hosts (/etc/updraft/NAME), the key under
	// openstack.overrides, and part of secrets' names.
	Name string
	// Doc is the text of the reference.
	Doc string
	// Build returns what the service asks for, on all hosts.
	Build func(d *Deployment) []Item
	// Clusters says how to see how those of its parts are that decide together; nil
	// for none.
	Clusters func(d *Deployment) []status.Ensemble
	// Leaving is how its member on a controller leaves the others.
	Leaving Leaving
	// Stores are what of it a backup has; nil for nothing.
	Stores func(d *Deployment) []backup.Store
	// Looks are what is worth a look on a host when something is wrong; nil for no
	// more than journals and configuration.
	Looks func(d *Deployment, h *spec.Host) []logbundle.Look
	// Databases are those that it keeps its data in.
	Databases []Database
	// Endpoints are its entries in the catalogue, proxied by HAProxy.
	Endpoints []Endpoint
	// User is the service's own user in Keystone's project "service", with the
	// roles admin and service and the password of UserSecret(User); "" for none.
	User string
	// Accounts are what else it needs in Keystone, and what of it is guarded; nil for
	// nothing.
	Accounts func() []api.Resource
	// Optional says that a cloud has it only when its file asks for it.
	Optional bool
	// Image is an image of the service's own, which controllers have beside those of
	// every cloud; "" for none. Computes have it, too, when OnComputes is set.
	Image      string
	OnComputes bool
	// Commands are those of the stock client, by their first words, that only this
	// image has: they are run from it.
	Commands []string
	// Sections are those of its configuration that the user may override; none
	// when it takes no overrides.
	Sections []string
	// Options are the settings in them with their types, as tools/oslo-options.py
	// lists them; empty when they are not known.
	Options string
	// Setting says what is wrong with an override of a service whose settings are
	// not those of oslo.config, and how to mend it; nil for the others.
	Setting func(key string, value json.RawMessage) (fault, mend string)
}

// Item is a resource on a host, in the terms of a configset.
type Item struct {
	Host string
	configset.Item
}

// Database is one of MariaDB's, with the user of the same service.
type Database struct {
	Name, User string
}

// Endpoint is an HTTP service behind the virtual address.
type Endpoint struct {
	// Service and Type are the entry in Keystone's catalogue; no entry is made
	// when Type is empty (Horizon, the console proxy).
	Service, Type string
	Port          int
	Path          string // after the port, such as /v2.1
	// Check is what HAProxy asks for to see whether a controller answers, and
	// Status what it expects (HAProxy's notation, such as 200-399).
	Check, Status string
	// Costly says that answering Check is work, which is then asked for less often:
	// controllers that start, and are busy with it, would otherwise be kept from
	// it by the questions whether they are done.
	Costly bool
	// Timeout bounds how long HAProxy lets a request take, in seconds; 0 means
	// the default of 60.
	Timeout int
	// Sticky sends a client to the controller that it began with.
	Sticky bool
	// Peers is set when the service's own processes ask each other on other
	// controllers, by address and without a certificate of their own.
	Peers bool
}

// ForUsers reports whether the cloud's users come there, and not only services.
func (e Endpoint) ForUsers() bool {
	return e.Type != "" || e.Port == DashboardPort || e.Port == ConsolePort
}

// Secrets are the cloud's own. Each is made on first use and is the same from
// then on.
type Secrets interface {
	// Password returns a secret of letters and digits only, which is the same
	// in a URL, an INI file and SQL.
	Password(name string) string
	// FernetKeys returns the key repository of that name: index → key. The highest
	// index is that of the key in use, 0 that of the next one.
	FernetKeys(name string) map[string]string
	// Certificate returns a certificate of the cloud's authority and its key,
	// in PEM.
	Certificate(name string, names ...string) (cert, key string)
	// Authority returns the authority's certificate in PEM.
	Authority() string
}

// Release is what differs between releases.
type Release interface {
	// Image returns the reference of the container image of that name.
	Image(name string) string
	// Head returns the newest schema revisions of a database.
	Head(database string) []string
	// Path returns where the release has a file, by a name of our own such as
	// "keystone-wsgi".
	Path(name string) string
	// UID returns the number of a user in all images; groups have the same.
	UID(user string) int
}

// Deployment is everything that a service may look at.
type Deployment struct {
	Cloud   *spec.Cloud
	Spec    *spec.OpenStack
	Release Release
	Secrets Secrets
	Diags   *diag.List
	// Services are all of them, for those that serve the others.
	Services []Service
	// KeysProgram keeps Keystone's keys on controllers.
	KeysProgram []byte
	// GuardProgram watches members of Galera, where there are several controllers.
	GuardProgram []byte
	// RegistryProgram serves images to hosts, where they come from a registry.
	RegistryProgram []byte
	// RecoveryProgram watches over computes.
	RecoveryProgram []byte
	// Recipes are what images are made of, as JSON by their names, where the first
	// controller builds them; empty where the deployer does.
	Recipes map[string]string
}

// FromRegistry reports whether hosts pull images from a registry of the cloud.
func (d *Deployment) FromRegistry() bool { return d.Spec.Images == spec.ImagesRegistry }

// VIP is the address that the APIs answer on.
func (d *Deployment) VIP() netip.Addr { return d.Spec.VIP.Address }

// Address returns a host's address among the APIs.
func (d *Deployment) Address(h *spec.Host) string { return h.AddressOn(d.Spec.VIP.Network).String() }

// TunnelAddress returns a host's address for tenants' traffic.
func (d *Deployment) TunnelAddress(h *spec.Host) string { return h.AddressOn(d.Spec.Tunnel).String() }

// First is the controller on which one-time jobs run. Which one it is matters to
// nobody: whether a job is done is read from the world.
func (d *Deployment) First() *spec.Host { return d.Spec.Controllers[0] }

// Hosts are controllers and computes.
func (d *Deployment) Hosts() []*spec.Host {
	return slices.Concat(d.Spec.Controllers, d.Spec.Computes)
}

// PublicVIP is the address that users are told.
func (d *Deployment) PublicVIP() netip.Addr { return d.Spec.UserAddress() }

// VIPs are all addresses that the APIs answer on, that of the cloud itself first.
func (d *Deployment) VIPs() []netip.Addr {
	out := []netip.Addr{d.VIP()}
	for _, v := range d.Spec.Public {
		out = append(out, v.Address)
	}
	return out
}

// URL returns where an endpoint answers for the cloud's users, InternalURL where it
// does for services among themselves.
func (d *Deployment) URL(e Endpoint) string { return at(d.PublicVIP(), e.Port, e.Path) }

// InternalURL is the URL of an endpoint for services.
func (d *Deployment) InternalURL(e Endpoint) string { return at(d.VIP(), e.Port, e.Path) }

// AuthURL is Keystone's for services, PublicAuthURL that for users.
func (d *Deployment) AuthURL() string { return at(d.VIP(), KeystonePort, "/v3") }

// PublicAuthURL is the URL of Keystone for users.
func (d *Deployment) PublicAuthURL() string { return at(d.PublicVIP(), KeystonePort, "/v3") }

func at(vip netip.Addr, port int, path string) string {
	return "https://" + netip.AddrPortFrom(vip, uint16(port)).String() + path //nolint:gosec // ports are constants
}

// Endpoint returns the URL for users of the service of that type in the catalogue.
func (d *Deployment) Endpoint(kind string) string {
	for _, s := range d.Services {
		for _, e := range s.Endpoints {
			if e.Type == kind {
				return d.URL(e)
			}
		}
	}
	return ""
}

// UUID returns the UUID of something of a host: always the same, by its names
// (RFC 9562, version 8: of a SHA-256).
func UUID(what, cloud, host string) string {
	b := sha256.Sum256([]byte("updraft " + what + " " + cloud + "/" + host))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Ports that more than one service knows of.
const (
	KeystonePort  = 5000
	RegistryPort  = 5001
	DatabasePort  = 3306
	RabbitPort    = 5671
	MemcachePort  = 11211
	OVNNorthPort  = 6641
	OVNSouthPort  = 6642
	MetadataPort  = 8775
	ConsolePort   = 6080
	EtcdPort      = 2379
	DashboardPort = 443
)

// Secret names that more than one service knows of.
const (
	SecretRabbit   = "rabbitmq"
	SecretMetadata = "nova-metadata"
	SecretAdmin    = "keystone-admin"
	SecretDatabase = "mariadb-root"
	SecretRegistry = "registry-push"
)

// DatabaseSecret and UserSecret are the names of a service's passwords.
func DatabaseSecret(user string) string { return "database-" + user }

// UserSecret is the name of the password of a service's user in Keystone.
func UserSecret(service string) string { return "keystone-" + service }
