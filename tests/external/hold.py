"""The program under test with one data directory, and the words to run, start and read it.

Refuses to assert what a test is about: it fails only where a run breaks what every run promises.
"""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

RUN_SECONDS_MAX = 90
WAIT_SECONDS_MAX = 30
TABLES = ("blocks", "transactions", "logs")
# Files of 1 MiB and more are written past the page cache.
LONG_BYTES = 1 << 20


def number_of(variable, default):
    """A count that the environment may scale."""
    return int(os.environ.get(variable, default))


def until(condition, what, seconds=WAIT_SECONDS_MAX):
    """Waits for what another process gives no event for; an error once it took too long."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        pause.wait(0.005)


def environment(**more):
    """Ours, without what would lead the program elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("AWS_", "LOGHOLD_"))
    }
    return kept | more


class Run:
    """How a run ended, and what it said."""

    def __init__(self, words, code, stdout, stderr):
        self.words, self.code, self.stdout, self.stderr = words, code, stdout, stderr

    def json(self):
        return json.loads(self.stdout)

    def __repr__(self):
        return f"loghold {' '.join(self.words)}: exit {self.code}\nstdout: {self.stdout}\nstderr: {self.stderr}"


class Running:
    """A run that goes on beside the test. Its `-v` lines tell which chunks became ready."""

    def __init__(self, words, process):
        self.words, self.process = words, process
        self.ready = []
        self._run = None
        self._errors = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self._errors.append(line)
                words = line.split()
                if len(words) >= 3 and words[-1] == "ready" and words[-2].startswith("0x"):
                    self.ready.append(words[-2].rstrip(":"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def reported(self):
        """The chunks that were reported ready up to now."""
        with self._changed:
            return list(self.ready)

    def wait_reported(self, count):
        """Until so many chunks were reported ready, or the run has ended."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self.ready) >= count or self.process.poll() is not None, RUN_SECONDS_MAX
            )

    def signal(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def ended(self, seconds=RUN_SECONDS_MAX):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._reader.join(WAIT_SECONDS_MAX)
            raise AssertionError(f"a run hangs: {' '.join(self.words)}\n{''.join(self._errors)}") from None
        self._reader.join(WAIT_SECONDS_MAX)
        if self._run is None:
            with self.process.stdout as stdout:
                self._run = Run(self.words, code, stdout.read(), "".join(self._errors))
        return self._run

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.ended()


class Hold:
    """The program, with a data directory."""

    def __init__(self, binary, data_dir, variables=None):
        self.binary, self.data_dir = str(binary), pathlib.Path(data_dir)
        self.environment = environment(**(variables or {}))

    def _command(self, words):
        return [self.binary, "--data-dir", str(self.data_dir), "--allow-private", "--color=never", *words]

    def run(self, *words, stdin="", code=0):
        """Runs to the end; `code` is the exit code that is expected, `None` any."""
        done = subprocess.run(
            self._command(words),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        run = Run(words, done.returncode, done.stdout, done.stderr)
        assert code is None or run.code == code, f"expected exit {code}:\n{run}"
        return run

    def start(self, *words, before=()):
        """Runs beside the test; `before` wraps the program."""
        process = subprocess.Popen(
            [*before, *self._command(words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        return Running(words, process)

    def chunks(self):
        """All that is known, by id."""
        if not self.data_dir.exists():
            # Who was killed at once has not made it, and a power cut may have taken it.
            return {}
        return {chunk["id"]: chunk for chunk in self.run("chunk", "ls", "-o", "json").json()}

    def ready(self):
        return {id: chunk for id, chunk in self.chunks().items() if chunk["state"] == "ready"}

    def count_published(self):
        """How many chunks lie in the layout; one whose directories go away while they are counted does not count."""
        count = 0
        # Not Path.glob: it fails on a directory that is removed between its listing and its opening.
        for _, directories, _ in os.walk(self.data_dir):
            count += sum(name.startswith("chunk=") for name in directories)
            directories[:] = [name for name in directories if not name.startswith((".", "chunk="))]
        return count

    def glob(self, table="*"):
        """The chunks' files by the documented layout, as engines are told them."""
        return f"{self.data_dir}/dataset_id=*/first_block=*/last_block=*/chunk=*/{table}.parquet"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def descriptor(dataset, first, end, urls, salt=""):
    """What `chunk get` reads, with an id of its own."""
    id = sha256(f"{dataset}/{first}/{end}/{salt}".encode())
    return {
        "id": f"0x{id}",
        "dataset_id": dataset,
        "block_range": {"start": first, "end": end},
        "files": urls,
    }


def file_bytes(dice, most):
    """Random bytes, up to so many; one of four is a long file, mostly of no whole number of blocks."""
    length = dice.randint(1, most) if dice.random() < 0.75 else LONG_BYTES + dice.randint(0, LONG_BYTES)
    return dice.randbytes(length)


def write_descriptors(path, descriptors):
    path.write_text("".join(json.dumps(one) + "\n" for one in descriptors))
    return str(path)


class Contents:
    """What the files of some chunks must hold, to compare chunks on disk with."""

    def __init__(self):
        self.digests = {}

    def add(self, id, name, data):
        self.digests.setdefault(id, {})[name] = sha256(data)

    def ids(self):
        return set(self.digests)

    def check_listed(self, hold):
        """Every chunk that is listed as ready is whole and right. Returns their ids."""
        ready = hold.ready()
        for id, chunk in ready.items():
            path = pathlib.Path(chunk["path"])
            wanted = self.digests[id]
            names = {name for name in os.listdir(path) if not name.startswith(("_", "."))}
            assert names == set(wanted), f"chunk {id} has {sorted(names)}, wanted {sorted(wanted)}"
            for name, digest in wanted.items():
                found = sha256((path / name).read_bytes())
                assert found == digest, f"{path / name} has wrong bytes"
        self.check_visible(hold)
        return set(ready)

    def check_visible(self, hold):
        """Whatever lies where engines look is whole, listed or not: a rename is the only way in."""
        for path in hold.data_dir.glob("dataset_id=*/first_block=*/last_block=*/chunk=*"):
            wanted = self.digests[path.name.removeprefix("chunk=")]
            for name, digest in wanted.items():
                assert sha256((path / name).read_bytes()) == digest, f"{path / name} is visible and wrong"
