package stack

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// DatabaseSocket is the path of MariaDB's socket inside its container. Root of a
// controller is the database's root there, without a password.
const DatabaseSocket = DataRoot + "/mariadb/mariadb.sock"

// DatabaseURL is how a service reaches its database, with the password of
// [DatabaseSecret]: always through the virtual address, behind which HAProxy has
// one controller that is written to. The server proves with a certificate of the
// cloud's authority that it is behind that address.
//
// Source: SQLAlchemy's documentation, "MySQL and MariaDB", section "PyMySQL": with
// ssl_ca given, certificate and name are verified.
func DatabaseURL(d *Deployment, user, database string) string {
	at := netip.AddrPortFrom(d.VIP(), DatabasePort).String()
	return "mysql+pymysql://" + user + ":" + d.Secrets.Password(DatabaseSecret(user)) + "@" + at + "/" + database + "?ssl_ca=" + CAFile
}

// RabbitUser is the services' user at RabbitMQ.
const RabbitUser = "openstack"

// RabbitHost is the virtual host of the services' queues: another one for queues that are
// replicated. When one controller becomes several, or the reverse, all is declared anew; a
// service that still has its settings of before must not be the first to do that, as it
// would declare things that the others then refuse to use.
func RabbitHost(d *Deployment) string {
	if len(d.Spec.Controllers) > 1 {
		return "/"
	}
	return "alone"
}

// TransportURL is how services reach RabbitMQ: they know all controllers, and go
// to another when theirs is gone.
//
// Source: oslo.messaging's documentation, "TransportURL".
func TransportURL(d *Deployment) string {
	var at []string
	for _, h := range d.Spec.Controllers {
		at = append(at, RabbitUser+":"+d.Secrets.Password(SecretRabbit)+"@"+HostPort(d.Address(h), RabbitPort))
	}
	return "rabbit://" + strings.Join(at, ",") + "/" + strings.Trim(RabbitHost(d), "/")
}

// OVNNorth and OVNSouth are how programs reach OVN's databases: any controller
// answers, and clients find the leader by themselves. Both ends show a certificate
// of the cloud's authority; names in it are looked at by neither (OVS has no such
// check), so a key of OVN's is worth what OVN's databases are.
//
// Source: ovsdb(7), "Connection Methods".
func OVNNorth(d *Deployment) string { return ovn(d, OVNNorthPort) }

// OVNSouth is the address of the southbound database; see [OVNNorth].
func OVNSouth(d *Deployment) string { return ovn(d, OVNSouthPort) }

func ovn(d *Deployment, port int) string {
	var at []string
	for _, h := range d.Spec.Controllers {
		at = append(at, OVNRemote(d.Address(h), port))
	}
	return strings.Join(at, ",")
}

// HostPort is an address with a port, as it stands in URLs.
func HostPort(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }

// OVNRemote is one server of an OVN database.
func OVNRemote(address string, port int) string {
	return "ssl:" + HostPort(address, port)
}

// OVNListen is where a server of an OVN database listens, after the "p" for
// passive: the port comes first there.
func OVNListen(address string, port int) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return "ssl:" + strconv.Itoa(port) + ":" + address
}
