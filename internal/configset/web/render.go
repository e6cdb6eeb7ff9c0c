package web

import (
	"fmt"
	"strings"
)

// root is where the page lies.
const root = "/var/www/updraft"

// nginx renders nginx.conf as a whole, so that nginx -t can judge the file
// before it is put in place. The user is the build's own (www-data on Debian,
// nginx on Fedora), and so is the pid file, which the unit names.
func (s *site) nginx() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by updraft. Changes made by hand are lost.")
	line("worker_processes auto;")
	line("pid /run/nginx.pid;")
	line("error_log /var/log/nginx/error.log;")
	line("events {")
	line("    worker_connections 1024;")
	line("}")
	line("http {")
	if s.AccessLog {
		line("    access_log /var/log/nginx/access.log;")
	} else {
		line("    access_log off;")
	}
	line("    server_tokens off;")
	line("    sendfile on;")
	line("    types { }")
	line("    default_type %s;", s.ContentType)
	line("    server {")
	line("        listen %d default_server;", s.Port)
	if s.ipv6 {
		line("        listen [::]:%d default_server;", s.Port)
	}
	line("        server_name %s;", s.host)
	line("        root %s;", root)
	line("        index index.html;")
	line("        add_header %s %s always;", s.Header, s.host)
	line("        location = /healthz {")
	line("            access_log off;")
	line("            return 200 \"ok\\n\";")
	line("        }")
	line("    }")
	line("}")
	return b.String()
}
