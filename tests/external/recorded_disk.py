"""A block device that keeps a record of every write and flush, fails when it is told to, and shows what a crash may leave.

Refuses to be fast, and to know what is stored: it sees sectors, as a disk does. The device is a loop device over one
file of a FUSE file system; its server is this file, run as a program of its own. It needs root, and neither device
mapper nor network block devices.

What it shows: a flush covers what came before it, and between two flushes writes get to the disk in any order, whole or
some of their sectors. What it does not: a disk that lies about flushes, sectors that are torn in themselves, and writes
that were on their way beside a flush, for a loop device hands over one request after the other.
"""

import ctypes
import errno
import os
import pathlib
import struct
import subprocess
import sys
import threading

import pytest

from file_systems import MAKE, missing_tool, run

SECTOR = 512
# One line of the record: what, where, how many bytes; the bytes follow.
ENTRY = struct.Struct("<BQI")
WRITE, FLUSH = 1, 2
WRITE_BYTES_MAX = 1 << 20

# The kernel's interface, linux/fuse.h.
REQUEST = struct.Struct("<IIQQIIIHH")
ANSWER = struct.Struct("<IiQ")
GETATTR, OPEN, READ, STATFS, RELEASE, FSYNC, FLUSH_FILE, INIT = 3, 14, 15, 17, 18, 20, 25, 26
WRITE_FILE, SETATTR, FORGET, INTERRUPT, DESTROY, BATCH_FORGET = 16, 4, 2, 36, 38, 42
BIG_WRITES, MAX_PAGES, DIRECT_IO = 1 << 5, 1 << 22, 1


class Server:
    """Answers the kernel for one file, and writes down what it is told to write."""

    def __init__(self, device, image, place):
        self.device, self.image = device, os.open(image, os.O_RDWR)
        self.record = os.open(place / "record", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.failing = str(place / "failing")
        self.bytes = os.fstat(self.image).st_size
        self.answers = {
            INIT: self.init,
            GETATTR: lambda _: struct.pack("<QII", 3600, 0, 0) + self.attributes(),
            SETATTR: lambda _: struct.pack("<QII", 3600, 0, 0) + self.attributes(),
            OPEN: lambda _: struct.pack("<QII", 1, DIRECT_IO, 0),
            READ: self.read,
            WRITE_FILE: self.write,
            FSYNC: self.flush,
            STATFS: lambda _: bytes(80),
            RELEASE: lambda _: b"",
            FLUSH_FILE: lambda _: b"",
        }

    def serve(self):
        while True:
            try:
                request = os.read(self.device, WRITE_BYTES_MAX + 8192)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue
                return  # ENODEV: it was unmounted.
            _, opcode, unique, *_ = REQUEST.unpack_from(request)
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            error, answer = 0, b""
            try:
                handle = self.answers.get(opcode)
                error, answer = (errno.ENOSYS, b"") if handle is None else (0, handle(request[REQUEST.size :]))
            except OSError as failed:
                error = failed.errno or errno.EIO
            try:
                os.write(self.device, ANSWER.pack(ANSWER.size + len(answer), -error, unique) + answer)
            except OSError as failed:
                if failed.errno != errno.ENOENT:
                    raise

    def init(self, _):
        flags, pages = BIG_WRITES | MAX_PAGES, WRITE_BYTES_MAX // 4096
        return struct.pack("<IIIIHHIIHHII24x", 7, 31, 1 << 17, flags, 16, 12, WRITE_BYTES_MAX, 1, pages, 0, 0, 0)

    def attributes(self):
        mode = 0o100600
        return struct.pack("<QQQQQQIIIIIIIIII", 1, self.bytes, self.bytes // 512, *[0] * 6, mode, 1, 0, 0, 0, 4096, 0)

    def read(self, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(self.image, size, offset)

    def write(self, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        self.fail()
        data = body[40 : 40 + size]
        os.pwrite(self.image, data, offset)
        os.write(self.record, ENTRY.pack(WRITE, offset, size) + data)
        return struct.pack("<II", size, 0)

    def flush(self, _):
        self.fail()
        os.write(self.record, ENTRY.pack(FLUSH, 0, 0))
        return b""

    def fail(self):
        if os.path.exists(self.failing):
            raise OSError(errno.EIO, "told to fail")


def serve(image, place):
    """The program: mounts the file over `place`/device, says so, and serves it until it is unmounted."""
    place = pathlib.Path(place)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=100000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"recorded", bytes(place / "device"), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"a FUSE file system cannot be mounted: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    Server(device, image, place).serve()


class Record:
    """The writes and flushes up to a moment, and the images that a power cut may have left."""

    def __init__(self, base, path):
        self.base, self.entries, self.ends, self.flushes = base, [], [], []
        data, at = path.read_bytes(), 0
        while at + ENTRY.size <= len(data):
            what, offset, size = ENTRY.unpack_from(data, at)
            at += ENTRY.size
            if what == FLUSH:
                self.flushes.append(len(self.entries))
            self.entries.append((what, offset, data[at : at + size]))
            at += size
            self.ends.append(at)

    def images(self, path, chosen, dice):
        """For each of these flushes, in order: what is on disk with it, and with some of what came up to the next one.

        Yields the number of the flush. Of the later writes any may be there, whole or some of its sectors: a disk writes
        what it was not yet told to flush in any order. A flush that is chosen again gives another choice of these.
        """
        durable = path.with_name("durable")
        copy(self.base, durable)
        done, last = 0, None
        for flush in chosen:
            self.apply(durable, self.entries[done : self.flushes[flush]])
            done = self.flushes[flush]
            following = self.flushes[flush + 1] if flush + 1 < len(self.flushes) else len(self.entries)
            for is_exact in (False,) if flush == last else (True, False):
                copy(durable, path)
                if not is_exact:
                    self.apply(path, some(self.entries[done:following], dice))
                yield flush
            last = flush
        durable.unlink()

    def choose(self, count, dice):
        """So many of the flushes, in order; all of them, and some again, where there are not so many."""
        flushes = range(len(self.flushes))
        rounds, rest = divmod(count, len(flushes))
        return sorted([*flushes] * rounds + dice.sample(flushes, rest))

    def length_before(self, flush):
        """How long the record was when this flush was not yet in it; of the one behind the last: how long it is."""
        if flush >= len(self.flushes):
            return self.ends[-1]
        return self.ends[self.flushes[flush]] - ENTRY.size

    @staticmethod
    def apply(path, entries):
        with open(path, "r+b", buffering=0) as image:
            for what, offset, data in entries:
                if what == WRITE:
                    image.seek(offset)
                    image.write(data)


class Promises:
    """What was told to somebody, and how long the record was then: by what it held until then the promise is kept."""

    def __init__(self, disk):
        self.disk, self.noted = disk, []

    def note(self, promise):
        self.noted.append((self.disk.length(), promise))

    def kept_by(self, record, flush):
        """The last promise that an image with this flush, and without the next, has to keep; `None` before the first."""
        limit = record.length_before(flush + 1)
        return max((promise for length, promise in self.noted if length <= limit), default=None)


def copy(source, target):
    done = run("cp", "--sparse=always", str(source), str(target))
    assert done.returncode == 0, done.stderr


def some(entries, dice):
    """Some of these writes, of some only some sectors."""
    share = dice.choice((0.1, 0.5, 0.9))
    for what, offset, data in entries:
        if what != WRITE or dice.random() > share:
            continue
        if dice.random() > 0.25:
            yield what, offset, data
            continue
        for at in range(0, len(data), SECTOR):
            if dice.random() < 0.5:
                yield what, offset + at, data[at : at + SECTOR]


class RecordedDisk:
    """A file system on such a device, mounted."""

    def __init__(self, place, kind, bytes):
        self.kind, self.place, self.mount_point = kind, place, place / "mount"
        self.base, self.image, self._device = place / "base", place / "image", place / "device"
        self.mount_point.mkdir()
        self._device.touch()
        with open(self.base, "wb") as image:
            image.truncate(bytes)
        made = run(*MAKE[kind], str(self.base))
        if made.returncode != 0:
            raise OSError(f"{MAKE[kind][0]} failed: {made.stderr}")
        copy(self.base, self.image)
        # Without the blocks of zeros that were made with it: it is copied often.
        self.image.replace(self.base)
        copy(self.base, self.image)
        words = [sys.executable, __file__, str(self.image), str(place)]
        self.server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.server.stdout.readline() != "mounted\n":
            raise OSError(self.server.communicate()[1].strip())
        self.is_mounted = False
        self.mount()

    def mount(self):
        done = run("mount", "-o", "loop", "-t", self.kind, str(self._device), str(self.mount_point))
        if done.returncode != 0:
            raise OSError(f"a loop device over FUSE cannot be mounted: {done.stderr}")
        self.is_mounted = True

    def unmount(self):
        done = run("umount", str(self.mount_point))
        assert done.returncode == 0, f"umount failed: {done.stderr}"
        self.is_mounted = False

    def length(self):
        """How long the record is."""
        return (self.place / "record").stat().st_size

    def record(self):
        return Record(self.base, self.place / "record")

    def fail(self):
        """From now on every write and every flush is an error; reads go on."""
        (self.place / "failing").touch()

    def heal(self):
        (self.place / "failing").unlink(missing_ok=True)

    def close(self):
        self.heal()
        if self.is_mounted:
            run("umount", str(self.mount_point))
        # The loop device lets go of the file when its last user does.
        run("umount", str(self._device))
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            run("umount", "-l", str(self._device))
        self.server.communicate()


class CrashImage:
    """An image that is mounted, as it is after a power cut."""

    def __init__(self, path, kind):
        self.path, self.kind, self.mount_point = path, kind, path.with_name("after")
        self.mount_point.mkdir(exist_ok=True)

    def __enter__(self):
        # The file system that it is an image of may still be mounted.
        options = "loop,nouuid" if self.kind == "xfs" else "loop"
        done = run("mount", "-o", options, "-t", self.kind, str(self.path), str(self.mount_point))
        assert done.returncode == 0, f"the file system itself does not survive: {done.stderr}"
        return self.mount_point

    def __exit__(self, *_):
        done = run("umount", str(self.mount_point))
        assert done.returncode == 0, f"umount failed: {done.stderr}"


def recorded_disk(place, kind, bytes):
    """Skips, and says why, where the machine does not allow it."""
    if os.geteuid() != 0:
        pytest.skip("loop mounts and FUSE need root")
    if missing := missing_tool(kind):
        pytest.skip(missing)
    try:
        return RecordedDisk(place, kind, bytes)
    except OSError as error:
        pytest.skip(str(error))


if __name__ == "__main__":
    serve(*sys.argv[1:])
