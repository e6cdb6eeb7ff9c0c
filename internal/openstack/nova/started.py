"""Runs one of Nova's services, and says when it has started.

started.py PROGRAM FILE ARGUMENT... makes the file once PROGRAM (nova-compute,
nova-scheduler) serves: it has what it needs, a conductor and its queues. What
keeps it from that it has told by then, and ended.

Two waits of Nova's are too long where somebody looks on. For a conductor that
starts at the same time it asks every ten seconds, and every ten it signs that it
lives: here it asks every two, and signs every second until all have seen it.

A kernel of a server that moves is fetched as that of a new one is. Nova inspects it
as if it were a disk there, and takes the boot sector that every kernel of Linux
begins with for a partition table that it refuses.
"""
import functools
import importlib
import sys
import time

program, started = sys.argv[1:3]
# Before anything else: it patches the standard library.
main = importlib.import_module(program.replace("nova-", "nova.cmd.")).main
from nova import conductor, service  # noqa: E402

start = service.Service.start


def start_and_tell(self):
    start(self)
    open(started, "w", encoding="ascii").close()
    self.tg.add_thread(sign_often, self)


def sign_often(self):
    for _ in range(30):
        self.servicegroup_api._driver._report_state(self)
        time.sleep(1)  # a green one


def fetch_kernel(self, context, path, image_id, instance, fallback_from_host=None):
    utils.fetch_raw_image(context, path, image_id, instance.trusted_certs)


if program == "nova-compute":
    from nova.virt.libvirt import driver, utils
    # Cinder's of that type are files of a mounted file system. Nova has no type for
    # those whose format is not always raw (gpfs), and that it does not mount (nfs).
    driver.VOLUME_DRIVERS["updraft"] = "updraft_volumes.VolumeDriver"
    driver.LibvirtDriver._try_fetch_image = fetch_kernel
service.Service.start = start_and_tell
conductor.API.wait_until_ready = functools.partialmethod(
    conductor.API.wait_until_ready, early_timeout=2, early_attempts=60)
sys.argv[:3] = [program]
main()
