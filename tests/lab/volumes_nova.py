"""Nova's side of Cinder's driver, with the real Nova."""
import os
import sys

from nova.virt.libvirt import driver
from nova.virt.libvirt.volume import nfs

import updraft_volumes

assert "updraft" not in driver.VOLUME_DRIVERS, "Nova has such a type by now"
driver.VOLUME_DRIVERS["updraft"] = "updraft_volumes.VolumeDriver"


class Host:
    def find_secret(self, *_):
        return None


d = driver.LibvirtDriver.__new__(driver.LibvirtDriver)
d.volume_drivers, d._host = {}, Host()
info = {"driver_volume_type": "updraft", "serial": "id", "data": {
    "export": "updraft:/volumes", "name": "volume-id.snap", "format": "qcow2", "volume_id": "id"}}
v = d._get_volume_driver(info)
assert isinstance(v, updraft_volumes.VolumeDriver), v
try:
    v.connect_volume(info, None)
except Exception as e:
    assert "is not mounted" in str(e), e
else:
    sys.exit("a volume is connected where nothing is mounted")
os.path.ismount = lambda path: path == "/var/lib/cinder/volumes"
v.connect_volume(info, None)
path = "/var/lib/cinder/volumes/volume-id.snap"
assert info["data"]["device_path"] == path, info
c = v.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"})
assert (c.source_type, c.source_path, c.driver_format, c.driver_cache) == ("file", path, "qcow2", "none"), vars(c)
os.makedirs(os.path.dirname(path))
with open(path, "wb") as f:
    f.truncate(5)
assert v.extend_volume(info, None, 7) == nfs.LibvirtNFSVolumeDriver(Host()).extend_volume(info, None, 7)
assert os.path.getsize(path) == 5, "a qcow2 was changed by another than QEMU"
info["data"]["format"] = "raw"
for size, want in ((7, 7), (6, 7)):
    assert v.extend_volume(info, None, size) == size
    assert os.path.getsize(path) == want, (size, os.path.getsize(path))
info["data"]["size"] = 9  # while this host was off
v.connect_volume(info, None)
assert os.path.getsize(path) == 9, os.path.getsize(path)
print("all is well")
