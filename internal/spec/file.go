package spec

// The structs of the cloud file, as it is written. Their tags are the reference:
// see Field for what they mean. What they cannot say is checked in the files
// that expand them.

// FileSample returns a pointer to an empty cloud file, for the schema and the
// reference.
func FileSample() any { return new(file) }

// Names of the tables that keys marked with the tag parts come from.
const (
	PartsProviders  = "providers"
	PartsConfigsets = "configsets"
	PartsResources  = "resources"
	PartsChecks     = "checks"
	PartsOpenStack  = "openstack"
)

// Providers are the names of the providers.
var providerNames = []string{"lab", "static"}

// checkKinds are the kinds of checks.
var checkKinds = []string{"icmp", "tcp", "banner", "http", "dns", "spread", "openstack", "vm"}

type file struct {
	At      Where    `json:"-"`
	Version int      `json:"version" required:"true" enum:"1" doc:"The version of this format."`
	Cloud   string   `json:"cloud" required:"true" format:"cloud" doc:"The name of the cloud. It is part of the names of all that is made for it."`
	Domain  string   `json:"domain" format:"domain" doc:"The DNS domain of the hosts; CLOUD.internal when left out."`
	Include []string `json:"include" format:"path" doc:"Other files to start from, relative to this one. Maps are merged key by key; anything else is replaced: by a later file, and last by this one."`

	Vars     map[string]any   `json:"vars" doc:"Variables: text, numbers, true or false. ${name} puts one into any value below (never into a key), updraft --set name=value overrides it, and $${ stands for a plain ${."`
	Provider providerFile     `json:"provider" doc:"Where machines come from: lab (made on this computer; the default) or static (hosts that exist already). The long form lab: {…} gives settings."`
	Networks Map[networkFile] `json:"networks" keys:"label" doc:"The networks by name."`
	Access   accessFile       `json:"access" doc:"How updraft logs in to hosts. Groups and hosts can change parts of it."`
	Proxy    proxyFile        `json:"proxy" doc:"The HTTP proxy that hosts use for what is outside of the cloud."`

	PackageCache packageCacheFile  `json:"package_cache" doc:"Let hosts fetch packages through updraft's caching proxy: true, or a map with its settings."`
	Mirrors      map[string]string `json:"mirrors" keys:"label" format:"url" doc:"Package mirrors by distribution (debian, ubuntu, …). Left out, the deploy host's own are used where they fit."`

	Groups     Map[groupFile] `json:"groups" keys:"label" required:"true" doc:"Groups of like hosts by name."`
	Hosts      Map[hostFile]  `json:"hosts" keys:"label" doc:"What is different on single hosts. Maps are merged over the group's, resources are added, anything else is replaced."`
	Configsets Map[Raw]       `json:"configsets" parts:"configsets" doc:"Configsets that all hosts get, before those of their group, with parameters."`
	VIPs       Map[vipFile]   `json:"vips" keys:"label" doc:"Virtual addresses by name, each held by one host of a group at a time."`
	OpenStack  *openstackFile `json:"openstack" doc:"An OpenStack on the hosts."`

	Verify []checkFile `json:"verify" doc:"Checks that updraft verify makes, besides those of configsets."`
}

type networkFile struct {
	At       Where    `json:"-"`
	CIDR     string   `json:"cidr" required:"true" format:"cidr" doc:"The IPv4 network, such as 10.88.0.0/24."`
	CIDR6    string   `json:"cidr6" format:"cidr6" doc:"An IPv6 network. Hosts get the address at the same distance from its start as their IPv4 address has."`
	MTU      int      `json:"mtu" default:"1500" min:"576" max:"65535" doc:"Bytes per packet."`
	Gateway  string   `json:"gateway" format:"address" doc:"Where hosts send what is not local. A host has one default route: by its first NIC whose network has a gateway."`
	Deployer string   `json:"deployer" format:"address" doc:"The deploy host's own address in the network; the first when left out, or the second where the first is the gateway; with provider static, not known."`
	Uplink   bool     `json:"uplink" default:"false" doc:"Let the network's hosts out of the cloud by way of the deploy host, which is then the gateway."`
	DNS      []string `json:"dns" format:"address" doc:"Name servers of the hosts."`
}

type accessFile struct {
	User             string `json:"user" default:"root" format:"user" doc:"The user to log in as; sudo is used when it is not root."`
	Port             int    `json:"port" default:"22" min:"1" max:"65535" doc:"The port of sshd."`
	Identity         string `json:"identity" format:"path" doc:"The path of a private key. Left out, updraft makes one for the cloud."`
	Agent            bool   `json:"agent" default:"false" doc:"Also offer the keys of the ssh-agent."`
	KnownHosts       string `json:"known_hosts" format:"path" doc:"The path of the known_hosts file. Left out, updraft keeps one for the cloud."`
	Jump             string `json:"jump" format:"jump" doc:"A host to go through: [user@]host[:port]."`
	SudoPasswordFile string `json:"sudo_password_file" format:"path" doc:"A file with the password for sudo. Left out, sudo must not ask."`
}

type proxyFile struct {
	HTTP    string   `json:"http" format:"url" doc:"The proxy for http://."`
	HTTPS   string   `json:"https" format:"url" doc:"The proxy for https://; as http when left out."`
	NoProxy []string `json:"no_proxy" format:"noproxy" doc:"What is reached without it. The cloud's own networks and domain need not be listed."`
}

type packageCacheSettings struct {
	At      Where  `json:"-"`
	Listen  string `json:"listen" format:"listen" doc:"Address and port; the deploy host's address in the first network and port 3142 when left out."`
	Size    Size   `json:"size" default:"10GiB" doc:"How much is kept."`
	Offline bool   `json:"offline" default:"false" doc:"Answer from the cache alone."`
}

type groupFile struct {
	At     Where          `json:"-"`
	Count  *int           `json:"count" min:"0" max:"1000" doc:"How many hosts: named after the group with a number, as web1, web2. One when neither count nor hosts is given."`
	Hosts  groupHostsFile `json:"hosts" format:"label" keys:"label" doc:"The hosts by name in place of count: a list, or a map with what is different on each."`
	Roles  []string       `json:"roles" format:"label" doc:"What the hosts are for. Roles can stand where a group can, in selections."`
	common                // what single hosts can change
}

type hostFile struct {
	At      Where  `json:"-"`
	Address string `json:"address" format:"host" doc:"The address or name by which a host that exists already is reached (provider static)."`
	common
}

// common is what a host has and a group can say for all of its hosts.
type common struct {
	NICs     []nicFile  `json:"nics" doc:"The network interfaces: names of networks, or maps. updraft reaches the host by the first one. Left out, one on the first network."`
	CPUs     float64    `json:"cpus" min:"0" max:"1024" doc:"Cores, also parts of one; 0 for no limit."`
	Memory   Size       `json:"memory" doc:"Main memory; no limit when left out."`
	Disk     Size       `json:"disk" doc:"Disk; no limit when left out."`
	Zone     string     `json:"zone" format:"line" doc:"Availability zone of the servers on these hosts, if they are computes of OpenStack."`
	Provider Raw        `json:"provider" doc:"Settings of the provider for these hosts, over those of the cloud."`
	Access   accessFile `json:"access" doc:"As access of the cloud, over it."`

	Configsets Map[Raw]     `json:"configsets" parts:"configsets" doc:"Configsets by name, with parameters; they apply in the order written."`
	Resources  []inlineFile `json:"resources" doc:"Resources that no configset has."`
}

type nicSettings struct {
	Network string `json:"network" required:"true" doc:"The network it is in."`
	Address string `json:"address" format:"range" doc:"One address for one host, a range such as 10.88.1.21-10.88.1.29 for the hosts of a group in order. Chosen by updraft when left out."`
	Name    string `json:"name" format:"nic" doc:"Its name on the host: eth0, eth1, … by position when left out."`
	MAC     string `json:"mac" format:"mac" doc:"Its MAC, for one host. Made from the names of cloud, host and NIC when left out, except on hosts that exist already."`
}

type inlineFile struct {
	At       Where    `json:"-"`
	Needs    []string `json:"needs" format:"ref" doc:"References of resources that must be in place before: kind:key on the same host, HOST/kind:key on another."`
	Triggers []string `json:"triggers" format:"ref" doc:"References of resources on whose change this one acts even if it is in place itself."`
	Resource Part     `json:"-" parts:"resources" doc:"The kind of resource, with its desired state."`
}

type vipFile struct {
	At      Where  `json:"-"`
	Network string `json:"network" required:"true" doc:"The network it is in."`
	Address string `json:"address" required:"true" format:"address" doc:"The address, of IPv4 or IPv6."`
	Group   string `json:"group" required:"true" doc:"The group whose hosts hold it."`
}

type checkFile struct {
	At      Where    `json:"-"`
	Name    string   `json:"name" format:"line" doc:"Its name in reports; made from the kind and its number when left out."`
	From    string   `json:"from" default:"deployer" doc:"Where it is made: deployer, a host, a group or a role."`
	Timeout Duration `json:"timeout" doc:"How long one try may take; by default what suits the check."`
	Check   Part     `json:"-" parts:"checks" doc:"The kind of check, with what it looks at."`
}
