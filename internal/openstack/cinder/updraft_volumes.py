"""Cinder's driver for volumes that are files of a file system which hosts have mounted.

Controllers and computes have it mounted at one place before Cinder and Nova start:
that is systemd's work, and neither mounts or unmounts anything. All else (sparse files,
snapshots as chains of qcow2, those of a volume in use by way of Nova) is what Cinder's
driver for NFS does.

Nova's side is updraft_volumes.py of its own.
"""
import os

from cinder import context as contexts
from cinder import exception
from cinder import interface
from cinder import objects
from cinder.objects import fields
from cinder.volume.drivers import nfs
from oslo_log import log as logging
from oslo_utils import units

LOG = logging.getLogger(__name__)


@interface.volumedriver
class VolumeDriver(nfs.NfsDriver):
    """The driver.

    It counts on being the only one that is run for its volumes, anywhere.
    """

    VERSION = "1.0.0"
    driver_volume_type = "updraft"

    def do_setup(self, context):
        # That of NFS refuses to go on where there is no mount.nfs.
        super(nfs.NfsDriver, self).do_setup(context)
        self.shares = {}
        self.set_nas_security_options(self._is_voldb_empty_at_startup)

    def update_provider_info(self, volumes, snapshots):
        """Is called once at the start, before anything is done.

        Whoever was in the middle of making a volume larger is dead. Cinder ends all
        that it finds half done but this; it stays "extending" for good.
        """
        for volume in volumes:
            if volume.status != "extending":
                continue
            attached = volume.attach_status == fields.VolumeAttachStatus.ATTACHED
            LOG.warning("Making volume %s larger was interrupted", volume.id)
            volume = objects.Volume.get_by_id(contexts.get_admin_context(), volume.id)
            volume.status = "in-use" if attached else "error_extending"
            volume.save()
        return None, None

    def _ensure_share_mounted(self, share):
        if not os.path.ismount(self.base):
            raise exception.NfsException("%s is not mounted" % self.base)

    def _get_mount_point_for_share(self, share):
        return self.base

    def _set_rw_permissions_for_all(self, path):
        # libvirt gives the file to QEMU for as long as that has it open.
        self._set_rw_permissions(path)

    def initialize_connection(self, volume, connector):
        info = super().initialize_connection(volume, connector)
        info["data"]["size"] = volume.size * units.Gi
        return info

    def extend_volume(self, volume, new_size):
        """Makes a volume larger. That of a server Nova makes larger, where the server is.

        A client of GlusterFS keeps the size of a file in pieces for as long as it has
        it open, and tells servers by how much it has grown: of two clients that make
        it larger, each adds its part. A file that a snapshot is below of can be
        changed by none but QEMU.
        """
        if not self._is_volume_attached(volume):
            super().extend_volume(volume, new_size)
            return
        if self._snapshots_exist(volume):
            raise exception.ExtendVolumeError(
                reason="volume %s is in use and has snapshots" % volume.id)
        if not self._is_share_eligible(volume.provider_location, int(new_size) - volume.size):
            raise exception.ExtendVolumeError(reason="there is no room for %s GiB" % new_size)
