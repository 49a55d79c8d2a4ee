"""The process of a study's trainings: it does one part after another, until its study closes the pipe to it.

A part comes as a line of JSON on standard input; what it says goes to its log; a line with the exit code on standard output ends it. Loading the
libraries takes longer than many a small training, so a process does many. Run by `trainings.Worker`: python -m twoviews.studies.part
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path

from ..base.errors import TwoviewsError
from ..base.files import write_json

INPUT, OUTPUT, ERRORS = 0, 1, 2  # file descriptors


def listen(messages: queue.Queue[str]) -> None:
    """Lines of standard input into the queue. When it closes this process ends at once, whatever it does: its study is over, or has died and must
    leave no lock behind."""
    rest = b""
    while piece := os.read(INPUT, 1 << 16):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            messages.put(line.decode())
    os._exit(0)


def do(message: str) -> int:
    """Train and measure one part. Returns its exit code."""
    told = json.loads(message)
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, OUTPUT)
    os.dup2(log, ERRORS)
    os.close(log)
    try:
        from .measures import MEASURES

        figures = MEASURES[told["measure"]](told["images"], Path(told["folder"]), told["options"], told["how"])
    except TwoviewsError as error:
        print(f"twoviews: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except Exception as error:  # a fault of ours must not keep the other parts from being done; its log says where it came from
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    Path(told["found"]).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(told["found"]), figures)
    return 0


def main() -> None:
    """Parts until the pipe closes, or until one was stopped by a signal."""
    answers, messages = os.dup(OUTPUT), queue.Queue[str]()
    threading.Thread(target=listen, args=(messages,), daemon=True).start()
    while True:
        code = do(messages.get())
        os.write(answers, f"{code}\n".encode())
        if code > 128:
            sys.exit(code)


if __name__ == "__main__":
    main()
