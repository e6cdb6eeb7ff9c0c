"""Cinder's driver with the real Cinder, below a directory in place of what is mounted."""
import os
import stat
import sys
from unittest import mock

from oslo_config import cfg

from cinder import context, coordination, objects

objects.register_all()
from cinder.objects import fields  # noqa: E402
from cinder.volume import configuration  # noqa: E402
from cinder.volume.drivers import nfs, remotefs  # noqa: E402

import updraft_volumes  # noqa: E402

coordination.COORDINATOR.start()  # locks are files of the host
base = "/tmp/volumes"
os.makedirs(base)
conf = configuration.Configuration(nfs.nfs_opts + remotefs.nas_opts, config_group="volumes")
for name, value in (
        ("nfs_mount_point_base", base), ("nas_host", "updraft"), ("nas_share_path", "/volumes"), ("nfs_snapshot_support", True),
        ("nas_secure_file_operations", "false"), ("nas_secure_file_permissions", "true")):
    cfg.CONF.set_override(name, value, group="volumes")
# Its helper has a process of its own, which is not what is tried here.
from cinder.privsep import format_inspector  # noqa: E402
format_inspector.get_format_if_safe = format_inspector._get_format_if_safe


def new():
    d = updraft_volumes.VolumeDriver(configuration=conf)
    d.do_setup(context.get_admin_context())
    return d


try:
    new()
except Exception as e:
    assert "NoSharesMounted" in type(e).__name__, e
else:
    sys.exit("it starts where nothing is mounted")
os.path.ismount = lambda path: path == base
driver = new()


def volume(number, **more):
    v = objects.Volume(
        context.get_admin_context(), id="00000000-0000-4000-8000-%012d" % number, size=1, status="available",
        provider_location="updraft:/volumes", encryption_key_id=None, admin_metadata={},
        attach_status=fields.VolumeAttachStatus.DETACHED, **more)
    v._name_id = None
    return v


objects.Volume.save = lambda self: None
one = volume(1)
assert driver.create_volume(one) == {"provider_location": "updraft:/volumes"}
path = driver.local_path(one)
assert path == base + "/" + one.name, path
seen = os.stat(path)
assert stat.S_IMODE(seen.st_mode) == 0o660 and seen.st_size == 1 << 30 and seen.st_blocks == 0, seen

info = driver.initialize_connection(one, {})
assert info["driver_volume_type"] == "updraft", info
assert info["data"]["name"] == one.name and info["data"]["format"] == "raw", info
assert info["data"]["size"] == 1 << 30, info

one.attach_status = fields.VolumeAttachStatus.ATTACHED
driver.extend_volume(one, 2)
assert os.stat(path).st_size == 1 << 30, "a file that a server has open is Nova's to change"
one.attach_status = fields.VolumeAttachStatus.DETACHED
with mock.patch.object(objects.Volume, "get_by_id", return_value=one):
    driver.extend_volume(one, 2)
assert os.stat(path).st_size == 2 << 30
one.size = 2

snapshot = objects.Snapshot(context.get_admin_context(), id="00000000-0000-4000-8000-00000000aaaa", volume_id=one.id,
                            encryption_key_id=None, display_name="kept", status="available")
snapshot.volume = one
driver.create_snapshot(snapshot)
info = driver.initialize_connection(one, {})
assert info["data"]["name"] == one.name + "." + snapshot.id and info["data"]["format"] == "qcow2", info

one.attach_status = fields.VolumeAttachStatus.ATTACHED
try:
    driver.extend_volume(one, 3)
except updraft_volumes.exception.ExtendVolumeError as e:
    assert "has snapshots" in str(e), e
else:
    sys.exit("a qcow2 in use was changed")
one.attach_status = fields.VolumeAttachStatus.DETACHED

two = volume(2)
two.size = 2
driver.create_volume_from_snapshot(two, snapshot)
assert stat.S_IMODE(os.stat(driver.local_path(two)).st_mode) == 0o660
driver.delete_snapshot(snapshot)
for v in (one, two):
    driver.delete_volume(v)
left = [f for f in os.listdir(base) if not f.startswith(".")]
assert not left, left

# What was being made larger when the last one died.
for attached, want in ((fields.VolumeAttachStatus.ATTACHED, "in-use"), (fields.VolumeAttachStatus.DETACHED, "error_extending")):
    three = volume(3)
    three.status, three.attach_status = "extending", attached
    with mock.patch.object(objects.Volume, "get_by_id", return_value=three):
        assert driver.update_provider_info([three], []) == (None, None)
    assert three.status == want, three.status
print("all is well")
