"""What every external test gets: the program, servers that are stopped at the end, and logs that stay on failure.

Refuses to build or install anything: `cargo xtask test` does both.
"""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import warnings

import pytest

import real_chunks
from hold import Hold
from origin import Origin
from servers import Garage, Moto, S3sFs


def pytest_configure(config):
    config.option.tbstyle = "short"


def pytest_terminal_summary(terminalreporter):
    """What was left out is said aloud: a run that skipped is not a run that passed."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"LEFT OUT: {report.nodeid}: {reason}", yellow=True, bold=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def binary():
    named = os.environ.get("LOGHOLD_BINARY")
    assert named, "LOGHOLD_BINARY must name the program; `cargo xtask test` sets it"
    path = pathlib.Path(named).resolve()
    assert os.access(path, os.X_OK), f"{path} is no program"
    return path


@pytest.fixture
def place(request):
    """A directory that goes away with a test that passed, and stays with its logs when it failed."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="loghold-external-"))
    yield path
    if request.node.stash.get(FAILED, False):
        warnings.warn(f"{request.node.name} failed; its logs and data are in {path}", stacklevel=1)
    else:
        shutil.rmtree(path)


@pytest.fixture
def hold(binary, place):
    return Hold(binary, place / "data")


@pytest.fixture
def origin(place):
    server = Origin(place / "origin.log")
    yield server
    server.close()


@pytest.fixture
def moto():
    server = Moto()
    yield server
    server.close()


@pytest.fixture
def s3s_fs(place):
    if shutil.which("s3s-fs") is None:
        pytest.skip("s3s-fs is not on PATH")
    server = S3sFs(place / "s3s-fs")
    yield server
    server.close()


@pytest.fixture
def garage(place):
    if shutil.which("garage") is None:
        pytest.skip("garage is not on PATH")
    server = Garage(place / "garage")
    yield server
    server.close()


@pytest.fixture
def strace():
    """What to put before a command so that some of its system calls fail."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")

    def inject(call, what, when, trace="/dev/null", traced="write"):
        """The trace says in which order calls were made."""
        faults = ["-e", f"trace={call},{traced}", "-e", f"inject={call}:{what}:when={when}"]
        return ["strace", "-f", "-o", str(trace), *faults]

    probe = subprocess.run([*inject("fdatasync", "error=EIO", "1"), "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"strace does not work here: {probe.stderr}")
    return inject


@pytest.fixture
def dice(request):
    """Random numbers whose seed is printed when a test fails, and may be given in LOGHOLD_SEED."""
    seed = int(os.environ.get("LOGHOLD_SEED") or random.SystemRandom().randrange(2**32))
    print(f"LOGHOLD_SEED={seed}")
    request.node.user_properties.append(("seed", seed))
    return random.Random(seed)


@pytest.fixture(scope="session")
def real_source():
    """The real records; without them the tests that need them are left out."""
    path = real_chunks.find_records()
    if path is None:
        pytest.skip("the real Ethereum blocks are not here; name their directory in LOGHOLD_TEST_DATA")
    return real_chunks.Source(path)
