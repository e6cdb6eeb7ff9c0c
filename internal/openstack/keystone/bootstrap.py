"""Runs keystone-manage bootstrap with the password that a file holds.

bootstrap.py FILE OPTION...

Arguments and environment of a process can be read by others on the host, so the
password reaches keystone-manage's own parser inside of this process only.
"""
import sys

from keystone.cmd import cli

with open(sys.argv[1]) as f:
    password = f.read().strip()
cli.main(["keystone-manage", "bootstrap", "--bootstrap-password", password] + sys.argv[2:])
