"""Runs nova-compute, and says when it has started.

compute.py FILE ARGUMENT... makes the file once nova-compute serves: it has its
identity, libvirt, a conductor and its queues. What keeps it from that it has told
by then, and ended.

A kernel of a server that moves is fetched as that of a new one is. Nova inspects it
as if it were a disk there, and takes the boot sector that every kernel of Linux
begins with for a partition table that it refuses.
"""
import sys

from nova.cmd import compute  # before anything else: it patches the standard library
from nova import service
from nova.virt.libvirt import driver
from nova.virt.libvirt import utils

started, start = sys.argv[1], service.Service.start


def start_and_tell(self):
    start(self)
    open(started, "w", encoding="ascii").close()


def fetch_kernel(self, context, path, image_id, instance, fallback_from_host=None):
    utils.fetch_raw_image(context, path, image_id, instance.trusted_certs)


service.Service.start = start_and_tell
driver.LibvirtDriver._try_fetch_image = fetch_kernel
sys.argv[:2] = ["nova-compute"]
compute.main()
