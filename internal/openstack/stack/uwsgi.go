package stack

import (
	"fmt"
	"strings"
	"time"
)

// UWSGI is a WSGI application served by uWSGI.
type UWSGI struct {
	// Name is what its processes are called.
	Name string
	// App is the path of the WSGI file, Listen an address with a port.
	App, Listen string
	// User is whom to become after the socket is open; "" to stay who the
	// container runs as.
	User string
	// Dir is the working directory; "" for the root.
	Dir string
	// Processes and Threads are how many; 0 means one.
	Processes, Threads int
	// Streams is set for applications whose requests and answers have no
	// length in advance, such as uploads of images.
	Streams bool
	// Static maps paths of URLs to directories.
	Static [][2]string
}

// PythonUWSGI is uWSGI with Python in all images.
const PythonUWSGI = "/usr/bin/uwsgi_python3"

// patience is how long a worker may take for a request; it is replaced then. HAProxy
// has given the request up for 10 s, and a worker that waits for what never comes takes
// no other. What sends or takes files is let alone.
const patience = 70 * time.Second

// String renders the configuration.
//
// An application that cannot be loaded ends the whole (need-app), so that systemd
// and the journal tell of it: else workers are born and die for ever behind a
// socket that accepts connections. Applications are loaded by each worker
// (lazy-apps), as connections to databases do not survive a fork.
//
// Source: uWSGI's documentation, "Configuration Options".
func (u UWSGI) String() string {
	var b strings.Builder
	b.WriteString(Header)
	b.WriteString("[uwsgi]\n")
	set := func(key string, value any) { fmt.Fprintf(&b, "%s = %v\n", key, value) }
	set("plugins", "python3")
	if u.User == "" {
		set("http-socket", u.Listen)
	} else { // only shared sockets are opened as root
		set("shared-socket", u.Listen)
		set("http-socket", "=0")
	}
	set("wsgi-file", u.App)
	set("procname-prefix-spaced", u.Name)
	set("processes", max(1, u.Processes))
	set("threads", max(1, u.Threads))
	for _, on := range []string{"master", "enable-threads", "lazy-apps", "need-app", "die-on-term", "no-orphans", "thunder-lock", "disable-logging", "close-on-exec"} {
		set(on, true)
	}
	if u.Dir != "" {
		set("chdir", u.Dir)
	}
	set("buffer-size", 65535) // tokens and long queries are in headers
	set("listen", 100)
	if u.User != "" {
		set("uid", u.User)
		set("gid", u.User)
	}
	for _, m := range u.Static {
		set("static-map", m[0]+"="+m[1])
	}
	if u.Streams {
		for _, on := range []string{"http-auto-chunked", "http-chunked-input", "http-raw-body", "wsgi-manage-chunked-input"} {
			set(on, true)
		}
		set("socket-timeout", 30)
	} else {
		set("harakiri", int(patience/time.Second))
	}
	set("add-header", "Connection: close") // uWSGI's own sockets keep no connection
	return b.String()
}

// UWSGI adds the configuration of the application and returns its path, which is
// the same in the container.
func (b *Builder) UWSGI(u UWSGI) string { return b.Config(u.Name+"-uwsgi.ini", u.String()) }

// Serve is the command line for what UWSGI returned.
func Serve(path string) []string { return []string{PythonUWSGI, "--ini", path} }

// Patience is how long an API may take to answer after its start: a few seconds,
// and many times that while a small host starts all of them at once.
const Patience = "3m"
