"""What ``voxmmsd estimate`` says against what a short training then takes.

    python benchmarks/estimate.py finetune FOLDER --preset tiny --steps 60 --size 48

FOLDER: cases or a prepared store. Both are measured in processor time of one thread, so that other work on the machine
stretches neither; starting Python and torch is in neither.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from voxmmsd.config import make_config
from voxmmsd.planning.estimate import estimate
from voxmmsd.training.finetune import finetune
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=("finetune", "pretrain"))
    parser.add_argument("folder")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--size", type=int, default=48, help="side of the patches or blocks")
    asked = parser.parse_args()
    time.perf_counter = time.process_time  # the clock that the estimate reads
    with tempfile.TemporaryDirectory() as place:
        given = {
            "folders": (asked.folder,),
            "run": str(Path(place) / "run"),
            "preset": asked.preset,
            "steps": asked.steps,
            "patch" if asked.verb == "finetune" else "block": asked.size,
            "device": "cpu",
            "threads": 1,
            "workers": 1,
        }
        if asked.verb == "finetune":
            said, real = measured(make_config(FinetuneConfig, given), finetune)
        else:
            said, real = measured(make_config(PretrainConfig, given), pretrain)
    print(
        json.dumps({"estimated_s": round(said, 1), "real_s": round(real, 1), "real / estimated": round(real / said, 2)})
    )


def measured(config, train) -> tuple[float, float]:
    """Seconds that the estimate says and that ``train`` takes."""
    said = estimate(config).seconds
    start = time.process_time()
    train(config)
    return said, time.process_time() - start


if __name__ == "__main__":
    main()
