"""Nova's side of Cinder's driver of the same name.

A volume is a file of a file system that is mounted on the host for as long as it is up:
nothing is connected, and nothing taken away. Its name changes with its snapshots, and
Cinder says which it is.
"""
import os

from nova import exception
from nova.virt.libvirt.volume import fs

BASE = "/var/lib/cinder/volumes"


class VolumeDriver(fs.LibvirtBaseFileSystemVolumeDriver):

    def _get_mount_point_base(self):
        return BASE

    def _get_mount_path(self, connection_info):
        return BASE

    def connect_volume(self, connection_info, instance):
        if not os.path.ismount(BASE):
            raise exception.InternalError("%s is not mounted" % BASE)
        connection_info["data"]["device_path"] = self._get_device_path(connection_info)
        # Cinder may have been told to make it larger while this host was off.
        self._grow(connection_info, connection_info["data"].get("size", 0))

    def get_config(self, connection_info, disk_info):
        conf = super().get_config(connection_info, disk_info)
        conf.source_type = "file"
        conf.source_path = self._get_device_path(connection_info)
        conf.driver_format = connection_info["data"].get("format", "raw")
        return conf

    def extend_volume(self, connection_info, instance, requested_size):
        self._grow(connection_info, requested_size)
        return requested_size

    def _grow(self, connection_info, size):
        """Makes the file larger here, where nobody but QEMU has it open."""
        if connection_info["data"].get("format", "raw") != "raw":
            return  # only QEMU can
        with open(self._get_device_path(connection_info), "r+b") as f:
            if os.fstat(f.fileno()).st_size < size:
                f.truncate(size)
