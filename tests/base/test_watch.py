"""Signs of life over a real store: silence of a process, or of the store, ends the others; a leave does not."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

SCRIPT = """
import datetime, os, signal, sys, time
import torch.distributed as dist
from twoviews.base import watch
watch.BEAT, watch.LIMIT = 0.2, 3.0
rank, port, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
limit = datetime.timedelta(seconds=20)
own = dist.TCPStore("127.0.0.1", port, None, rank == 0, timeout=limit, wait_for_workers=False)
os.environ["RANK"] = str(rank)
w = watch.Watch(rank, 2, lambda: dist.TCPStore("127.0.0.1", port, None, False, timeout=limit, wait_for_workers=False), watch.end)
w.start()
time.sleep(2)
if how == "leave":
    w.stop()
    if rank == 0:
        time.sleep(1)
    print("left")
    sys.exit(0)
if how == "stops" and rank == 1 or how == "store" and rank == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(20)
print("never told")
"""


def start(how):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-c", SCRIPT]
    return [
        subprocess.Popen([*line, str(rank), str(port), how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for rank in (0, 1)
    ]


@pytest.mark.parametrize(("how", "alive", "words"), [("stops", 0, "process 1 has not been heard of"), ("store", 1, "not been heard of")])
def test_silence_ends_the_others(how, alive, words):
    both = start(how)
    try:
        said = both[alive].communicate(timeout=120)
        assert both[alive].returncode == 1, said
        assert words in said[1]
        assert "The same command goes on" in said[1]
    finally:
        for process in both:
            process.kill()
            process.wait()


def test_who_leaves_is_not_missed():
    both = start("leave")
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out == "left\n"
