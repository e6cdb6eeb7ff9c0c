"""Runs nova-compute, and says when it has started.

compute.py FILE ARGUMENT... makes the file once nova-compute serves: it has its
identity, libvirt, a conductor and its queues. What keeps it from that it has told
by then, and ended.
"""
import sys

from nova.cmd import compute  # before anything else: it patches the standard library
from nova import service

started, start = sys.argv[1], service.Service.start


def start_and_tell(self):
    start(self)
    open(started, "w", encoding="ascii").close()


service.Service.start = start_and_tell
sys.argv[:2] = ["nova-compute"]
compute.main()
