// Package rabbitmq is the message queue between the parts of each service.
//
// Controllers are one cluster. Its members are named by their addresses, so that
// neither DNS nor /etc/hosts has a say in whether the queue works, and Erlang's
// own ports are on the network of the APIs alone.
//
// The services' password is compared with what the server accepts, by signing in
// as a client would, and set anew where it is not: a rotation needs no restart.
package rabbitmq

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

const (
	name = "rabbitmq"
	user = "rabbitmq"
	// home is where RabbitMQ keeps everything, in its container.
	home = "/var/lib/rabbitmq"
	// secretCookie is the secret by which members know each other.
	secretCookie = "rabbitmq-cookie"
	// memory is above which publishers have to wait.
	memory = "512MB"
	// plainPort is for the look at the services' password, on the host alone.
	plainPort = 5672
	// userJob is done when the server takes the services' password.
	userJob = "rabbitmq user"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "The message queue between the parts of each service (RabbitMQ).", Build: build, Clusters: clusters, Looks: looks, Leaving: leaving()}
}

// leaving takes the queues' copies from the member while all can agree on that, and
// has the others forget it. Until then its node runs, without a broker: of two, the one
// that stays takes no node for half a partition, and pauses (pause_minority). A node
// that nobody ends, since updraft was killed, ends by itself, unless it has joined again
// by then; one that is put back joins anew.
func leaving() stack.Leaving {
	data := stack.DataDir(name)
	return stack.Leaving{
		Leave: shrink(`"$RABBITMQ_NODENAME"`) +
			fmt.Sprintf("systemd-run --quiet --collect --unit=%s --on-active=10min sh -c 'test -e %s/joined || systemctl stop %s' || :\n", endUnit, data, name) +
			fmt.Sprintf("timeout 60 podman exec %[1]s %[2]sctl --longnames stop_app || systemctl stop %[1]s\nrm -f %[3]s/joined\n", name, bin, data),
		Forget: func(_ *stack.Deployment, _ *spec.Host, address string) string {
			return fmt.Sprintf(forgetting, "podman exec "+name+" "+bin+"ctl --longnames", node(address)) + shrink(node(address))
		},
		End:   fmt.Sprintf("systemctl stop %[1]s.timer || :\nsystemctl stop %[2]s\n", endUnit, name),
		Clear: fmt.Sprintf("rm -rf %[1]s/mnesia %[1]s/joined\n", data),
	}
}

// endUnit is the unit that ends a node without a broker.
const endUnit = "updraft-rabbitmq-end"

// forgetting is shell text that has the cluster forget a node, if it is in it: asked
// with a prefix of a command, and the node. Whether it is gone is not what the command
// says: it takes copies of queues away thereafter, and may fail with that.
const forgetting = `said=$(timeout 90 %[1]s forget_cluster_node %[2]s 2>&1) || {
	in=$(timeout 30 %[1]s --silent eval "lists:member('%[2]s', rabbit_nodes:list_members())." 2>&1) || :
	test "$in" = false || { echo "$said"; echo "in the cluster: $in"; exit 1; }
}
`

// shrink is shell text that has queues do without their copies on a node, which is a
// word of the container's shell. A queue whose members are changing refuses, and is
// asked again. One that has no majority keeps its copies: with the only controller that
// stays all queues begin anew.
func shrink(node string) string {
	return fmt.Sprintf(`for try in 1 2 3; do
	status=0
	said=$(timeout 60 podman exec %s sh -c '%s-queues --longnames --silent shrink %s --errors-only' 2>&1) || status=$?
	test "$status$said" != 0 || break
	test "$status" != 124 || { said="no answer within a minute $said"; break; }
	sleep 1
done
test "$status$said" = 0 || echo "queues that keep their copies there: $said"
`, name, bin, node)
}

// bin begins the paths of RabbitMQ's programs.
const bin = "/usr/lib/rabbitmq/bin/rabbitmq"

//go:embed login.sh
var loginScript string

//go:embed start.sh
var startScript string

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		server(b)
		certificates(b)
		if h == d.First() {
			account(b)
		}
		out = append(out, b.Items()...)
	}
	return out
}

// server adds a controller's member of the cluster.
//
// The first controller's begins the cluster, and the others join it (start.sh). Queues
// are to have a copy on each of three members: where a member left or came, RabbitMQ
// sees to it.
func server(b *stack.Builder) {
	dir := b.Dir(stack.ConfigDir(name), "", "0755")
	data := b.Data(user)
	address := b.D.Address(b.Host)
	owner := fmt.Sprint(b.D.Release.UID(user))
	cookie := &file.Resource{
		Path: path.Join(data, ".erlang.cookie"), Content: b.D.Secrets.Password(secretCookie),
		Mode: "0400", Owner: owner, Group: owner, Sensitive: true,
	}
	b.Add(configset.Item{Resource: cookie, Phase: engine.Configure})
	b.Dir(path.Join(dir, "first"), "", "0755")
	first := b.Secret("first/user.conf", firstUser(b.D), user)
	conf := b.Config("rabbitmq.conf", config(b.D, b.Host))
	distribution := b.Config("distribution.conf", distributionConfig())
	// A client that goes from one member to the next goes on to look for the address
	// of the first in certificates (kombu keeps server_hostname), and would find
	// itself without any.
	var others []string
	for _, h := range b.D.Others(b.Host) {
		others = append(others, b.D.Address(h))
	}
	leaf := b.Leaf(user, others...)
	run, needs := start(b, leaf), []string{"file:" + first, "file:" + leaf, stack.Members}
	if len(others) > 0 {
		needs = append(needs, "file:"+b.Begun(leaf)[1])
	}
	switch {
	case b.Host != b.D.First():
		needs = append(needs, stack.OnHost(b.D.First(), "container:"+name))
	case len(b.D.Spec.Controllers) > 1:
		needs = append(needs, "container:etcd") // which it asks before it begins
	}
	b.Container(container.Resource{
		Name: name, Image: "infra", User: user, Exec: run,
		Env: map[string]string{
			"HOME":                  home,
			"LANG":                  "C.UTF-8",
			"RABBITMQ_NODENAME":     node(address),
			"RABBITMQ_USE_LONGNAME": "true",
			"RABBITMQ_CONFIG_FILE":  conf,
			"RABBITMQ_CONFIG_FILES": path.Dir(first),
			"ERL_EPMD_ADDRESS":      address,
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {" +
				strings.ReplaceAll(address, ".", ",") + "} " + overTLS(distribution),
			"RABBITMQ_CTL_ERL_ARGS": overTLS(distribution),
		},
		Volumes:     []container.Volume{stack.Mount(dir, dir), {Source: data, Target: home}},
		RestartOn:   []string{conf, distribution, cookie.Path, stack.ConfigDir(name) + "/start.sh"},
		Ready:       &container.Ready{TCP: fmt.Sprintf("%s:%d", address, stack.RabbitPort), Timeout: "6m"},
		StopTimeout: "30s",
	}, needs...)
}

// none stands for what a member without others is not told.
const none = "-"

// start is the command line of a member.
func start(b *stack.Builder, leaf string) []string {
	var peers []string
	for _, h := range b.D.Others(b.Host) {
		peers = append(peers, b.D.Address(h))
	}
	script := b.Config("start.sh", startScript)
	queues, role, begun := "quorum", "other", []string{none, none, none, none}
	if len(peers) > 0 {
		begun = b.Begun(leaf)[1:]
	} else {
		queues, peers = "alone", []string{none}
	}
	if b.Host == b.D.First() {
		role = "first"
	}
	run := []string{"bash", script, node(b.D.Address(b.Host)), queues, role, strings.Join(peers, ",")}
	return slices.Concat(run, begun, []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"})
}

// forget makes Erlang read certificates and authorities again when they are next
// needed: those of RabbitMQ's clients, and those of nodes. By itself it looks for
// changed files every two minutes.
const forget = "ssl:clear_pem_cache(), gen_server:call(ssl_pem_cache_dist, {unconditionally_clear_pem_cache, self()})."

// certificates adds the command that makes a member show a new certificate, and
// believe new authorities, at once: others may show theirs as soon as it is done.
func certificates(b *stack.Builder) {
	leaf := stack.LeafFile(name)
	run, done := stack.Reread(name, transport.Quote("podman", "exec", name, "/usr/lib/rabbitmq/bin/rabbitmqctl", "eval", forget), leaf, stack.CAFile)
	// One that was started in this run has read them.
	script := "if " + done + "; then exit 0; fi\n" + run
	b.Triggered(command.Resource{Name: "rabbitmq certificates", Script: script, Unless: done}, engine.Start, []string{"container:" + name}, "file:"+leaf, "file:"+stack.CAFile)
}

// overTLS makes an Erlang node speak TLS to other nodes, and a tool to its node. A
// handshake may take 30 seconds, and not 7: a host that starts all of a cloud's
// services at once has little time for each.
//
// Source: Erlang's "Using TLS for Erlang Distribution"; kernel(6).
func overTLS(options string) string {
	return "-proto_dist inet_tls -ssl_dist_optfile " + options + " -kernel net_setuptime 30"
}

// distributionConfig is how nodes prove to each other who they are: both show a
// certificate of the cloud's authority, and whoever calls looks for the address it
// called in it. The files are read again within two minutes of a change.
func distributionConfig() string {
	return fmt.Sprintf(`%% Written by updraft. Changes made by hand are lost.
[{server, [{certfile, %[1]q}, {cacertfile, %[2]q}, {verify, verify_peer}, {fail_if_no_peer_cert, true}]},
 {client, [{certfile, %[1]q}, {cacertfile, %[2]q}, {verify, verify_peer}]}].
`, stack.LeafFile(name), stack.CAFile)
}

// node is the name of the member with that address.
func node(address string) string { return "rabbit@" + address }

// config is a member's configuration.
//
// Source: RabbitMQ's documentation, "Configuration", "Cluster Formation and Peer
// Discovery".
func config(d *stack.Deployment, h *spec.Host) string {
	lines := []string{
		fmt.Sprintf("listeners.tcp.1 = %s:%d", stack.Local, plainPort),
		fmt.Sprintf("listeners.ssl.1 = %s:%d", d.Address(h), stack.RabbitPort),
		"ssl_options.cacertfile = " + stack.CAFile,
		"ssl_options.certfile = " + stack.LeafFile(name),
		"ssl_options.keyfile = " + stack.LeafFile(name),
		"ssl_options.verify = verify_none", // clients have a password
		"ssl_options.versions.1 = tlsv1.3",
		"ssl_options.versions.2 = tlsv1.2",
		"loopback_users = none",
		"vm_memory_high_watermark.absolute = " + memory,
		"log.console = true",
		"log.console.level = warning",
		"log.console.use_colors = off",
		"log.connection.level = error", // every look at the password is a connection
		"log.file = false",
	}
	if len(d.Spec.Controllers) > 1 {
		lines = append(lines, "cluster_partition_handling = pause_minority",
			// Queues get a copy on a member that came, and none is waited for on one that left.
			"quorum_queue.continuous_membership_reconciliation.enabled = true",
			"quorum_queue.continuous_membership_reconciliation.auto_remove = true",
			"quorum_queue.continuous_membership_reconciliation.interval = 60000",
			"quorum_queue.continuous_membership_reconciliation.trigger_interval = 5000",
			"quorum_queue.continuous_membership_reconciliation.target_group_size = 3")
	}
	return stack.Header + strings.Join(lines, "\n") + "\n"
}

// firstUser is read by a server that has no users yet, so that the first start
// needs no more than that. It is a file of its own, as no restart is due when it
// changes.
func firstUser(d *stack.Deployment) string {
	return stack.Header + fmt.Sprintf("default_vhost = %s\ndefault_user = %s\ndefault_pass = %s\ndefault_permissions.configure = .*\n"+
		"default_permissions.read = .*\ndefault_permissions.write = .*\n", stack.RabbitHost(d), stack.RabbitUser, d.Secrets.Password(stack.SecretRabbit))
}

// account adds the command that keeps the services' user as it should be.
func account(b *stack.Builder) {
	password := b.D.Secrets.Password(stack.SecretRabbit)
	login := b.Config("login.sh", loginScript)
	frame := &file.Resource{
		Path: path.Join(stack.ConfigDir(name), "login.amqp"), Data: startOK(stack.RabbitUser, password),
		Mode: "0600", Owner: "root", Group: "root", Sensitive: true,
	}
	b.Add(configset.Item{Resource: frame, Phase: engine.Configure})
	secret := b.Secret("password", password+"\n", "")
	// With --quiet, RabbitMQ 4.0 waits for a password on standard input for ever.
	ctl := func(args ...string) string {
		return transport.Quote(slices.Concat([]string{"podman", "exec", "--interactive", name, "/usr/lib/rabbitmq/bin/rabbitmqctl"}, args)...)
	}
	u, done := stack.RabbitUser, fmt.Sprintf("bash %s %s %d %s", login, stack.Local, plainPort, frame.Path)
	b.Add(configset.Item{
		Resource: &command.Resource{
			Name: userJob,
			// A first start has made the user already; each call of rabbitmqctl takes
			// a second or two of a core.
			Script: "if " + done + "; then exit 0; fi\n" + ctl("await_startup") + "\n" +
				ctl("change_password", u) + " <" + secret + " || " + ctl("add_user", u) + " <" + secret + "\n" +
				ctl("set_permissions", "--vhost", stack.RabbitHost(b.D), u, ".*", ".*", ".*") + "\n",
			Unless: done,
		},
		Phase: engine.Start, Needs: []string{"container:" + name, "file:" + login}, Triggers: []string{"file:" + secret},
	})
}

// startOK is the second thing that a client says: who it is.
//
// Source: the specification of AMQP 0-9-1, sections 2.3.5 (frames) and 1.4.2.3
// (connection.start-ok), and SASL's mechanism PLAIN (RFC 4616).
func startOK(user, password string) []byte {
	const classConnection, methodStartOK, frameMethod, frameEnd = 10, 11, 1, 0xCE
	var body []byte
	body = binary.BigEndian.AppendUint16(body, classConnection)
	body = binary.BigEndian.AppendUint16(body, methodStartOK)
	body = binary.BigEndian.AppendUint32(body, 0) // no properties of the client
	body = append(body, shortString("PLAIN")...)
	response := "\x00" + user + "\x00" + password
	body = binary.BigEndian.AppendUint32(body, uint32(len(response))) //nolint:gosec // a password is short
	body = append(body, response...)
	body = append(body, shortString("en_US")...)
	frame := []byte{frameMethod, 0, 0}                              // channel 0
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body))) //nolint:gosec // as above
	return append(append(frame, body...), frameEnd)
}

func shortString(s string) []byte { return append([]byte{byte(len(s))}, s...) }
