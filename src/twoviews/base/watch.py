"""Whether the other processes of a run are alive, also those behind a network that went silent.

A process that dies closes its connections, and the others notice at once. A cable that is cut closes nothing: then a collective would wait for
hours. So each process leaves a sign of life every few seconds in the store that they met in, and ends itself when another's stays away.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable

import torch.distributed as dist

BEAT, LIMIT = 4.0, 40.0  # seconds from one sign of life to the next, and after which silence counts as loss


def sign(rank: int) -> str:
    """The key of a process's sign of life. All are there from the meeting on: asking for one that is not would wait."""
    return f"twoviews/{rank}"


class Watch:
    """Threads that beat and look, from `start` to `stop`. `connect` opens a connection of its own to the store; `lost(words)` ends the process."""

    def __init__(self, rank: int, world: int, connect: Callable[[], dist.Store], lost: Callable[[str], None]):
        self.rank, self.world, self.connect, self.lost = rank, world, connect, lost
        self.over = threading.Event()
        self.seen = {other: (0, time.monotonic()) for other in range(world) if other != rank}  # count of each, and when it last rose
        self.round = time.monotonic()  # when the store last answered

    def start(self) -> None:
        self.threads = [threading.Thread(target=loop, name=f"twoviews {loop.__name__}", daemon=True) for loop in (self.beat, self.look)]
        for thread in self.threads:
            thread.start()
        atexit.register(self.stop)  # before the interpreter ends: a thread in the middle of the store's code would abort it

    def stop(self) -> None:
        """End both threads; one that waits for a store that does not answer is left behind."""
        self.over.set()
        for thread in self.threads:
            thread.join(10.0)

    def beat(self) -> None:
        """Say that this process lives, and read of the others; a store that does not answer may hold this thread for long."""
        store = None
        count = 0
        while not self.over.wait(0 if store is None else BEAT):
            try:
                store = store or self.connect()
                count += 1
                store.set(sign(self.rank), str(count))
                for other, (before, _) in list(self.seen.items()):
                    now = int(store.get(sign(other)))
                    if now != before:
                        self.seen[other] = (now, time.monotonic())
                self.round = time.monotonic()
            except (dist.DistError, RuntimeError, ValueError, OSError):
                store = None
                if self.over.wait(BEAT):
                    return

    def look(self) -> None:
        """End the process when another, or the store, has been silent for too long."""
        while not self.over.wait(1.0):
            now = time.monotonic()
            silent = [other for other, (_, when) in self.seen.items() if now - when > LIMIT]
            if now - self.round > LIMIT or silent:
                who = f"process {silent[0]} has" if silent and now - self.round < LIMIT else "the others have"
                self.lost(f"{who} not been heard of for {LIMIT:g} s: a machine or a network is down")
                return


def end(words: str) -> None:
    """Say why and end at once, whatever the main thread is waiting for."""
    print(
        f"twoviews (process {os.environ.get('RANK', '0')}): {words}. The same command goes on from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
