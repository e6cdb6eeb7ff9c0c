package spec

// openstackFile is the section openstack of the cloud file.
type openstackFile struct {
	At          Where    `json:"-"`
	Release     string   `json:"release" default:"epoxy" enum:"epoxy,zed" doc:"The release: epoxy (2025.1, from Debian trixie) or zed (2022.2, from Debian bookworm)."`
	VIP         string   `json:"vip" required:"true" format:"label" doc:"The virtual address that the APIs answer on. It belongs to the group of the controllers."`
	Public      []string `json:"public" format:"label" doc:"Virtual addresses that users reach the APIs at, say an IPv4 and an IPv6 one of a public network, where vip is for the cloud itself. The catalogue tells them the first. Left out, users come to that of vip."`
	Controllers string   `json:"controllers" default:"controller" format:"label" doc:"The hosts of the control plane: a group, a role or a host."`
	Computes    string   `json:"computes" default:"compute" format:"label" doc:"The hosts that servers run on: a group, a role or a host."`
	Tunnel      string   `json:"tunnel" format:"label" doc:"The network that carries the tenants' networks (Geneve), apart from that of the virtual address. Left out, the second network of the cloud file."`
	External    []string `json:"external" format:"label" doc:"Networks that routers and floating IPs reach. Each becomes a physical network of Neutron under the same name."`
	Region      string   `json:"region" default:"RegionOne" format:"line" doc:"The name of the region."`
	Images      string   `json:"images" enum:"shared,registry" doc:"How hosts get container images: shared (a store on this computer that lab hosts read; the lab's default) or registry (one that the first controller runs; the default elsewhere)."`
	Build       string   `json:"build" default:"deployer" enum:"deployer,controller" doc:"Where images are built: deployer (this computer) or controller (the first one, which has to be a Debian, with images: registry; this computer then needs no root)."`
	Workers     int      `json:"workers" default:"1" min:"1" max:"64" doc:"Processes per API service and host."`
	VirtType    string   `json:"virt_type" default:"auto" enum:"auto,kvm,qemu" doc:"What runs servers: kvm, qemu (emulation, slow), or auto: kvm where the host has it."`
	Services    []string `json:"services" enum:"heat,masakari,cinder" doc:"Services beside those that every cloud has: heat (stacks of things from templates), masakari (servers of a compute that died run elsewhere; wants storage: {instances: gluster}), cinder (volumes)."`
	Overrides   Raw      `json:"overrides" doc:"Settings of services over updraft's own, by service, section and key: {nova: {DEFAULT: {cpu_allocation_ratio: 4}}}."`

	Storage openstackStorageFile `json:"storage" doc:"Where servers' disks and images are kept."`

	Resources []openstackResourceFile `json:"resources" doc:"What is to be in the cloud: projects, users, flavors, images, networks and the like."`
}

// openstackStorageFile is the section openstack.storage.
type openstackStorageFile struct {
	At        Where  `json:"-"`
	Instances string `json:"instances" enum:"local,gluster" doc:"Where servers' disks are: local (on the compute that runs the server) or gluster (on three controllers at once, mounted on all computes). Left out, gluster with three or more controllers, and local otherwise."`
	Images    string `json:"images" enum:"local,gluster" doc:"Where Glance keeps images: local (on the controller that took the upload) or gluster. Left out, as for instances."`
	Volumes   string `json:"volumes" enum:"gluster" doc:"Where Cinder keeps volumes: gluster (on three controllers at once or, in one copy, on the only one; mounted on all controllers and computes). For services: [cinder]."`
	Network   string `json:"network" format:"label" doc:"The network between computes and what is kept on controllers. Left out, that of the virtual address."`
}

type openstackResourceFile struct {
	At       Where `json:"-"`
	Resource Part  `json:"-" parts:"openstack" doc:"The kind of resource, with its desired state."`
}
