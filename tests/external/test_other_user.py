"""Somebody else's logs and data directories: what is refused is told with what helps, and what may be read is read.

Refuses to run where it may not become another user: root may do everything.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from hold import RUN_SECONDS_MAX, descriptor, environment, write_descriptors
from log_program import LogProgram

# A user that runs nothing else.
USER = 61_235

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@pytest.fixture
def open_place(binary):
    """A directory that any user reaches, with a copy of the program."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="loghold-user-"))
    path.chmod(0o755)
    shutil.copy(binary, path / "loghold")
    yield path
    shutil.rmtree(path)


def run_as_other(place, *words):
    def become():
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)

    return subprocess.run(
        [place / "loghold", *words],
        input="",
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        env=environment(),
        preexec_fn=become,
    )


def test_a_log_of_another_user_is_read_where_that_is_permitted_and_written_by_its_owner_alone(open_place):
    log = LogProgram(open_place / "loghold", open_place / "log")
    log.append([b"one", b"two"], "--create")
    for words in (["ls"], ["append"], ["commit", "sealer", "1"]):
        refused = run_as_other(open_place, "log", "--log", log.directory, *words)
        assert refused.returncode == 1, refused
        assert "Permission denied" in refused.stderr and "owns the log" in refused.stderr, refused.stderr
    for path in [log.directory, *log.directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    read = run_as_other(open_place, "log", "--log", log.directory, "read", "--ids")
    assert (read.returncode, read.stdout) == (0, "1\n2\n"), read
    refused = run_as_other(open_place, "log", "--log", log.directory, "append")
    assert refused.returncode == 1 and "owns the log" in refused.stderr, refused


def test_a_data_directory_that_cannot_be_made_has_no_owner_to_run_as(open_place):
    names = write_descriptors(open_place / "chunks.jsonl", [descriptor("user", 0, 1, {"b.parquet": "https://data.example/0"})])
    absent, private = open_place / "absent", open_place / "private"
    private.mkdir(mode=0o700)
    refused = run_as_other(open_place, "chunk", "get", "--data-dir", absent, names)
    assert refused.returncode == 1, refused
    assert f"{absent} is not there yet" in refused.stderr and "owns" not in refused.stderr, refused.stderr
    assert not absent.exists()
    refused = run_as_other(open_place, "chunk", "get", "--data-dir", private, names)
    assert refused.returncode == 1 and "owns the data directory" in refused.stderr, refused
