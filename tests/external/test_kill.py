"""Kills and interrupts of the real program: whatever is listed afterwards is whole, and what was fetched is used.

Refuses to wait for a quiet moment: the cuts come at random times and byte counts, with a seed that is printed.
"""

import pathlib
import re
import signal
import subprocess

import pytest

from hold import Contents, descriptor, file_bytes, number_of, write_descriptors

KILLS = number_of("LOGHOLD_KILLS", 20)
CHUNKS, FILE_BYTES_MAX = 12, 1 << 20
SEGMENT_BYTES = 1 << 20
# More than Linux lets the two ends of a loopback connection hold by default.
SOCKET_BYTES_MAX = 16 << 20


def serve(origin, dice, chunks=CHUNKS):
    """Chunks of one to three files of random bytes and lengths."""
    descriptors, contents = [], Contents()
    for index in range(chunks):
        parts = {f"part{part}.parquet": file_bytes(dice, FILE_BYTES_MAX) for part in range(dice.randint(1, 3))}
        urls = {name: origin.put(f"{index}/{name}", data) for name, data in parts.items()}
        one = descriptor("kills", index, index + 1, urls)
        for name, data in parts.items():
            contents.add(one["id"], name, data)
        descriptors.append(one)
    return descriptors, contents


def test_a_killed_get_never_leaves_a_wrong_chunk_and_the_last_one_has_them_all(hold, origin, place, dice):
    kills, rounds = 0, 0
    while kills < KILLS:
        rounds += 1
        # A hold that is full teaches no more: it starts again with other bytes.
        hold.data_dir = place / f"data{rounds}"
        descriptors, contents = serve(origin, dice)
        names = write_descriptors(place / f"chunks{rounds}.jsonl", descriptors)
        total = sum(len(origin.files[f"/{index}/{name}"]) for index, one in enumerate(descriptors) for name in one["files"])
        reported = set()
        for _ in range(KILLS):
            running = hold.start("-v", "--limit-rate", "64MiB/s", "chunk", "get", names)
            if dice.random() < 0.7:
                origin.alarm(dice.randrange(1, total), lambda: running.signal(signal.SIGKILL))
            else:
                try:
                    running.process.wait(dice.uniform(0, 0.4))
                except subprocess.TimeoutExpired:
                    running.signal(signal.SIGKILL)
            code = running.ended().code
            origin.forget_alarms()
            reported |= set(running.reported())
            listed = contents.check_listed(hold)
            assert reported <= listed, "a chunk was reported ready and is gone"
            if code == 0:
                break
            assert code == -signal.SIGKILL, running.ended()
            kills += 1
        hold.run("chunk", "get", names)
        assert contents.check_listed(hold) == contents.ids()
        assert hold.run("chunk", "verify", "-o", "json").json() == []
        assert not list((hold.data_dir / ".staging").iterdir()), "something is staged though all is there"


def test_a_killed_rm_leaves_chunks_whole_or_gone(hold, origin, place, dice):
    descriptors, contents = serve(origin, dice)
    names = write_descriptors(place / "chunks.jsonl", descriptors)
    for _ in range(max(2, KILLS // 5)):
        hold.run("chunk", "get", names)
        running = hold.start("chunk", "rm", "--dataset", "kills")
        try:
            running.process.wait(dice.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            running.signal(signal.SIGKILL)
        if running.ended().code == 0:
            assert contents.check_listed(hold) == set()
        else:
            contents.check_listed(hold)


def test_a_second_copy_is_refused_with_the_pid_of_the_first(hold, origin, place, dice):
    descriptors, _ = serve(origin, dice, chunks=2)
    gated = next(iter(descriptors[1]["files"]))
    origin.gate(f"1/{gated}")
    names = write_descriptors(place / "chunks.jsonl", descriptors)
    first = hold.start("-v", "chunk", "get", names)
    try:
        origin.wait_at_gate(f"1/{gated}")
        for words in (["chunk", "get", names], ["chunk", "ls"], ["chunk", "rm", descriptors[0]["id"]]):
            second = hold.run(*words, code=8)
            assert re.search(rf"\b{first.pid}\b", second.stderr), f"the pid {first.pid} is not told:\n{second}"
        origin.open_gate(f"1/{gated}")
        assert first.ended().code == 0, "the second copy disturbed the first"
    finally:
        first.kill()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_was_fetched_and_the_next_run_asks_for_the_rest_only(
    hold, origin, place, dice, number, code
):
    data = dice.randbytes(64 << 20)
    urls = {"blocks.parquet": origin.put("big", data)}
    one = descriptor("interrupts", 0, 10, urls)
    contents = Contents()
    contents.add(one["id"], "blocks.parquet", data)
    names = write_descriptors(place / "chunks.jsonl", [one])
    # One connection: what a socket holds when the interrupt comes is sent and not received.
    running = hold.start("chunk", "get", "-o", "json", "--connections", "1", "--limit-rate", "64MiB/s", names)
    sent = len(data) * 3 // 4
    origin.alarm(sent, lambda: running.signal(number))
    run = running.ended()
    assert run.code == code, run
    assert "stopped" in run.stderr and "run the same command again" in run.stderr, run
    kept = run.json()[0]["bytes"]
    assert 0 < kept < len(data), run
    assert contents.check_listed(hold) == set()

    before = origin.sent_bytes
    hold.run("chunk", "get", names)
    resumed = origin.sent_bytes - before
    assert contents.check_listed(hold) == contents.ids()
    assert resumed <= len(data) - kept + SEGMENT_BYTES, f"{kept} bytes were kept, yet {resumed} of {len(data)} came again"
    assert kept >= sent - SOCKET_BYTES_MAX - SEGMENT_BYTES, f"only {kept} bytes were kept of {sent}"
    log = pathlib.Path(place / "origin.log").read_text(encoding="utf-8")
    assert "bytes=" in log, "nothing was asked for by range"
