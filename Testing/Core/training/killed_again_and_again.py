"""Run one training through many lives, each ended by SIGKILL at a random moment; a program of its own.

    python killed_again_and_again.py OPTIONS.json KILLS

The imports are done once, then every life is a forked child: a kill costs a second, not the start of Python and torch.
Prints one JSON line: how often it was killed, and how often in the middle of writing a checkpoint.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from voxmmsd import files
from voxmmsd.config import config_from_record
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import PretrainConfig


def live(config):
    """A child's life; writing is slow, as on a cluster's disk, so that kills meet it."""
    real = os.fsync

    def slow(descriptor):
        time.sleep(0.1)
        real(descriptor)

    files.os.fsync = slow
    try:
        pretrain(config)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def newest(folder):
    return max((int(file.stem[5:]) for file in folder.glob("step-*.pt")), default=0)


def main():
    config = config_from_record(PretrainConfig, json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    checkpoints = Path(config.run) / "checkpoints"
    rng, kills, in_writing = random.Random(0), 0, 0
    while True:
        pid = os.fork()
        if pid == 0:
            live(config)
        target = newest(checkpoints) + rng.choice((0, 1, 1))
        while newest(checkpoints) < target and os.waitpid(pid, os.WNOHANG)[0] == 0:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))
        if kills < int(sys.argv[2]):
            try:
                os.kill(pid, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                sys.exit("the run ended before it could be killed often enough: give it more steps")
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            print(json.dumps({"exit": os.WEXITSTATUS(status), "kills": kills, "in_writing": in_writing}))
            return
        in_writing += bool(list(checkpoints.glob(f".step-*.{pid}.tmp.pt")))


if __name__ == "__main__":
    main()
