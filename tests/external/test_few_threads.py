"""Too few threads, as in a container with a small limit: the program says so, and neither panics nor hangs.

Refuses to run where it may not become another user: root has no such limit.
"""

import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

import pytest

from hold import RUN_SECONDS_MAX, descriptor, environment, write_descriptors

# A user that runs nothing else, so that the limit counts our threads alone.
USER = 61_234
# More than the program and two cores need.
THREADS_MAX = 24


@pytest.fixture
def open_place():
    """A directory that any user reaches, with a copy of the program."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="loghold-threads-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def run_with(threads, program, words):
    def become():
        resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)

    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=RUN_SECONDS_MAX, env=environment(), preexec_fn=become
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_with_too_few_threads_it_says_so_and_with_enough_it_works(binary, origin, open_place):
    program = shutil.copy(binary, open_place / "loghold")
    one = descriptor("threads", 0, 1, {"blocks.parquet": origin.put("0", b"PAR1")})
    names = write_descriptors(open_place / "chunks.jsonl", [one])
    codes = []
    for threads in range(1, THREADS_MAX + 1):
        data_dir = open_place / f"data-{threads}"
        data_dir.mkdir()
        os.chown(data_dir, USER, USER)
        run = run_with(threads, program, ["chunk", "get", "--allow-private", "--data-dir", data_dir, names])
        assert "panicked" not in run.stderr, f"{threads} threads: {run.stderr}"
        assert run.returncode == 0 or "ulimit -u" in run.stderr, f"{threads} threads: {run.stderr}"
        codes.append(run.returncode)
    assert codes[0] != 0 and codes[-1] == 0, codes
    assert codes == sorted(codes, reverse=True), f"more threads are never worse: {codes}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_a_demo_with_too_few_threads_says_so(binary, open_place):
    program = shutil.copy(binary, open_place / "loghold")
    codes = []
    for threads in (1, 2, 3, 4, 6, 8, 10, 12, THREADS_MAX):
        data_dir = open_place / f"demo-{threads}"
        data_dir.mkdir()
        os.chown(data_dir, USER, USER)
        run = run_with(threads, program, ["demo", "--chunks", "2", "--data-dir", data_dir])
        assert "panicked" not in run.stderr, f"{threads} threads: {run.stderr}"
        assert run.returncode == 0 or "Resource temporarily unavailable" in run.stderr, f"{threads} threads: {run.stderr}"
        codes.append(run.returncode)
    assert codes[0] != 0 and codes[-1] == 0, codes
