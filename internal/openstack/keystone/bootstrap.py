"""Runs keystone-manage bootstrap with the password that a file holds.

bootstrap.py FILE MEMCACHED,... OPTION...

Arguments and environment of a process can be read by others on the host, so the
password reaches keystone-manage's own parser inside of this process only.

What memcached holds is forgotten first. It may be of another database than the
one that is to be filled, and Keystone would believe it.
"""
import socket
import sys

from keystone.cmd import cli

PATIENCE = 3  # seconds


def forget(servers):
    for server in servers:
        host, port = server.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), PATIENCE) as s:
                s.sendall(b"flush_all\r\n")
                s.recv(16)
        except OSError as e:  # what is down remembers nothing
            print(f"{server}: {e}", file=sys.stderr)


with open(sys.argv[1]) as f:
    password = f.read().strip()
forget(sys.argv[2].split(","))
cli.main(["keystone-manage", "bootstrap", "--bootstrap-password", password] + sys.argv[3:])
