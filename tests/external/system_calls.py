"""What strace has written of a run: which system calls were begun, counted as strace counts them when it injects a fault.

Refuses to run anything: the `strace` fixture does.
"""

import collections
import re


def begun(trace, call):
    """How often a call was begun by the thread that made the most of them: faults are counted for each thread by itself."""
    threads = re.findall(rf"^(\d+) +{call}\(", trace, re.MULTILINE)
    return max((threads.count(thread) for thread in set(threads)), default=0)


def begun_by_all(trace, call):
    """How often a call was begun, by all threads together."""
    return len(re.findall(rf"^\d+ +{call}\(", trace, re.MULTILINE))


def numbered(trace):
    """Every call with its number in its thread, in the order in which the first thread came that far."""
    counts = collections.Counter()
    calls = {}
    for thread, call in re.findall(r"^(\d+) +(\w+)\(", trace, re.MULTILINE):
        counts[thread, call] += 1
        calls[call, counts[thread, call]] = None
    return list(calls)
