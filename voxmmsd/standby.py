"""A process that has loaded what ``segment`` and ``refine`` need and waits for its arguments, so that a second case and
a carry in a panel wait for no start.

It holds no model, so that a change of models does not concern it, and does one verb, as a process without waiting does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading

STANDBY = "VOXMMSD_STANDBY"  # environment variable: set, the command line waits here for its arguments
WAIT_SECONDS = 600.0  # then it ends


def request_line(arguments: list[str], environment: dict[str, str]) -> str:
    """The line that a process on standby reads from its standard input."""
    return json.dumps({"arguments": arguments, "environment": environment}) + "\n"


def read_request() -> list[str] | None:
    """The arguments of a verb, once they have come; None where the input ends, as it does with the sending process.

    The process ends after WAIT_SECONDS. What it starts later reads nothing from that input.
    """
    patience = threading.Timer(WAIT_SECONDS, os._exit, [0])
    patience.daemon = True
    patience.start()
    _load()
    line = sys.stdin.readline()
    patience.cancel()
    if not line.endswith("\n"):
        return None
    words = json.loads(line)
    os.environ.update(words["environment"])
    tempfile.tempdir = None  # to be found again, there
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return list(words["arguments"])


def _load() -> None:
    import onnxruntime  # noqa: F401

    import voxmmsd.inference.segment
    import voxmmsd.refine.verb  # noqa: F401
    from voxmmsd.inference.engines import load_libraries

    load_libraries()
