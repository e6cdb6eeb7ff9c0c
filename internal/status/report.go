package status

import "time"

// Report is what was found of a cloud.
type Report struct {
	Cloud string `json:"cloud"`
	// OK says that there are no problems.
	OK       bool          `json:"ok"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took_ns"`
	Problems []Problem     `json:"problems"`
	// Notes are what is under way and no fault.
	Notes    []Problem `json:"notes,omitempty"`
	Hosts    []Host    `json:"hosts"`
	Clusters []Cluster `json:"clusters,omitempty"`
	VIPs     []VIP     `json:"vips,omitempty"`
	// Services are the cloud's own: containers are with their hosts.
	Services     []Service     `json:"services,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
	Capacity     *Capacity     `json:"capacity,omitempty"`
}

// Problem is something that a person should know of, and how to mend it.
type Problem struct {
	Host string `json:"host,omitempty"`
	What string `json:"what"`
	Mend string `json:"mend"`
}

// State is what a host does.
type State string

// The states of hosts.
const (
	Up      State = "up"
	Off     State = "off"     // it is there, and does not run
	Missing State = "missing" // there is no such machine
	Silent  State = "silent"  // it does not answer
)

// Usage is how much of something is taken.
type Usage struct {
	Used  int64 `json:"used"`
	Total int64 `json:"total"`
}

// Share returns how much of it is taken, from 0 to 1.
func (u Usage) Share() float64 {
	if u.Total <= 0 {
		return 0
	}
	return float64(u.Used) / float64(u.Total)
}

// Host is one host.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   State  `json:"state"`
	// Maintenance says that a person works on it: what it lacks is no problem.
	Maintenance bool `json:"maintenance,omitempty"`
	// Reason says why it is not up.
	Reason string `json:"reason,omitempty"`
	// Resources is how many the cloud file asks for on the host, Differ how many
	// of them are not as it says; -1 when that is not known.
	Resources int `json:"resources"`
	Differ    int `json:"differ"`

	Uptime time.Duration `json:"uptime_ns,omitempty"`
	// Ahead is how far the host's clock is before this computer's.
	Ahead      time.Duration `json:"clock_ahead_ns,omitempty"`
	Load       float64       `json:"load"` // over one minute
	CPUs       int           `json:"cpus"`
	Memory     Usage         `json:"memory"` // bytes
	Disks      []Disk        `json:"disks,omitempty"`
	Failed     []string      `json:"failed_units,omitempty"`
	Containers []Container   `json:"containers,omitempty"`

	addresses []string
	clusters  map[string]string // what asking a cluster's member printed
}

// Disk is a mounted file system, in bytes.
type Disk struct {
	Mount string `json:"mount"`
	Usage
}

// Health is how a container does.
type Health string

// The states of containers.
const (
	Healthy    Health = "healthy"
	Unhealthy  Health = "unhealthy" // it runs, and does not do its work
	Restarting Health = "restarting"
	Stopped    Health = "stopped"
)

// Container is a container that systemd runs.
type Container struct {
	Name   string `json:"name"`
	Health Health `json:"health"`
	// Restarts is how often systemd has started it again since a person or updraft did.
	Restarts int `json:"restarts,omitempty"`
}

// Service is a part of the cloud's own software, such as an agent of Neutron's.
type Service struct {
	Name string `json:"name"`
	Host string `json:"host"`
	Up   bool   `json:"up"`
	// Disabled says that somebody switched it off, so that being down is no fault.
	Disabled bool `json:"disabled,omitempty"`
}

// Cluster is a set of members on several hosts that decide together.
type Cluster struct {
	Name    string   `json:"name"`
	Quorum  bool     `json:"quorum"`
	Members []Member `json:"members"`
}

// Member is how one member sees itself and the others.
type Member struct {
	Host string `json:"host"`
	// State is its own word for it, such as "synced" or "leader".
	State string `json:"state"`
	// Serves says that it takes part in decisions.
	Serves bool `json:"serves"`
	Leader bool `json:"leader,omitempty"`
	// Sees is how many members it counts, itself included; 0 when it does not say.
	Sees int `json:"sees,omitempty"`
	// Identity is the cluster's own name for itself, which two clusters that were
	// begun apart do not share.
	Identity string `json:"identity,omitempty"`
	// Term counts elections.
	Term int `json:"term,omitempty"`
}

// VIP is a virtual address and who has it.
type VIP struct {
	Name    string   `json:"name"`
	Address string   `json:"address"`
	Holders []string `json:"holders"`
}

// Certificate is one of the cloud's.
type Certificate struct {
	Name string    `json:"name"`
	Ends time.Time `json:"ends"`
}

// Capacity is what servers may take and do take.
type Capacity struct {
	Hypervisors int   `json:"hypervisors"` // that are up
	Servers     int   `json:"servers"`     // that run
	VCPUs       Usage `json:"vcpus"`
	Memory      Usage `json:"memory"` // bytes
	Disk        Usage `json:"disk"`   // bytes
}
