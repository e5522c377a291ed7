"""File systems of their own for a test: loop-mounted, cut like by a power failure, filled to the last block.

Refuses to touch anything but images and mounts that it made itself.
"""

import errno
import fcntl
import os
import shutil
import struct
import subprocess

import pytest

# Linux: FS_IOC_SHUTDOWN, _IOR('X', 125, __u32).
SHUTDOWN = 0x8004587D
FLUSH_JOURNAL, FLUSH_NOTHING = 1, 2
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


class LoopFileSystem:
    """A file system in a sparse file."""

    def __init__(self, place, kind, bytes):
        self.kind, self.mount_point, self.image = kind, place / "mount", place / "image"
        self.mount_point.mkdir()
        self.is_mounted = False
        with open(self.image, "wb") as image:
            image.truncate(bytes)
        made = run(*MAKE[kind], str(self.image))
        if made.returncode != 0:
            raise OSError(f"{MAKE[kind][0]} failed: {made.stderr}")
        self.mount()

    def mount(self):
        done = run("mount", "-o", "loop", "-t", self.kind, str(self.image), str(self.mount_point))
        if done.returncode != 0:
            raise OSError(f"a loop mount failed: {done.stderr}")
        self.is_mounted = True

    def unmount(self):
        done = run("umount", str(self.mount_point))
        assert done.returncode == 0, f"umount failed: {done.stderr}"
        self.is_mounted = False

    def shut_down(self, flag):
        """From here on nothing more reaches the image, as in a power cut."""
        directory = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", flag))
        finally:
            os.close(directory)

    def leave_free(self, bytes):
        """Takes all room but so much."""
        free = self.free_bytes()
        assert free > bytes, f"only {free} bytes are free"
        with open(self.mount_point / "ballast", "ab") as ballast:
            os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, free - bytes)

    def leave_none(self):
        """Takes all room, to the last block."""
        step = self.free_bytes()
        with open(self.mount_point / "ballast", "ab") as ballast:
            while step >= 4096:
                try:
                    os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2

    def leave_inodes(self, count):
        """Takes all inodes but so many, where their number is fixed."""
        free = os.statvfs(self.mount_point).f_favail
        assert free > count, f"only {free} inodes are free"
        directory = self.mount_point / "inodes"
        directory.mkdir()
        for number in range(free - count - 1):
            (directory / str(number)).touch()

    def give_inodes(self):
        shutil.rmtree(self.mount_point / "inodes")

    def give_room(self):
        (self.mount_point / "ballast").unlink()

    def free_bytes(self):
        stat = os.statvfs(self.mount_point)
        return stat.f_bavail * stat.f_frsize

    def close(self):
        if self.is_mounted:
            self.unmount()
        self.image.unlink(missing_ok=True)


def missing_tool(kind):
    """Says which tool is missing to make a file system."""
    tool = MAKE[kind][0]
    found = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return None if found else f"{tool} is not installed"


def loop_file_system(place, kind, bytes):
    """Skips, and says why, where the machine does not allow it."""
    if os.geteuid() != 0:
        pytest.skip("loop mounts need root")
    if missing := missing_tool(kind):
        pytest.skip(missing)
    try:
        return LoopFileSystem(place, kind, bytes)
    except OSError as error:
        pytest.skip(str(error))
