"""Would the mean of the weights over the last steps be a better network than the last weights? Both of one fine-tuning.

    python benchmarks/weight_averages.py STORE RUN --splits FILE [--from START] --steps 400 --validate-every 50
                                         --channels 8 16 32 64 128 --patch 48 [--seed 0] [--threads 1]

Beside the training runs a mean of weights and BatchNorm statistics over 2, 5, 10 and 20 % of the steps (exponential,
its memory no longer than what was done so far), which the training does not see. Prints the Dice of the validation
cases with each, at every validation. RUN must be new: the means are not kept in its checkpoints.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from voxmmsd.config import make_config
from voxmmsd.training import finetune
from voxmmsd.training.validation import mean_region_dice, segment_window, validate
from voxmmsd.training_config import FinetuneConfig

SHARES = (0.02, 0.05, 0.1, 0.2)


class AveragedFineTuning(finetune.FineTuning):
    """The ordinary fine-tuning, watched."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.means = {share: copy.deepcopy(self.network) for share in SHARES}

    @torch.no_grad()
    def after_update(self) -> None:
        now = self.network.state_dict().values()
        for share, mean in self.means.items():
            memory = min(self.step + 1, max(1.0, share * self.config.steps))
            for own, new in zip(mean.state_dict().values(), now, strict=True):
                own.lerp_(new, 1 / memory) if own.is_floating_point() else own.copy_(new)

    def _validate(self) -> None:
        super()._validate()
        found = {"last weights": self.network, **{f"mean over {share:.0%}": mean for share, mean in self.means.items()}}
        for name, network in found.items():
            window = segment_window(self.config.patch)
            regions = validate(network, self.validation, self.schema, self.device, window)
            each = ", ".join(f"{key} {value:.3f}" for key, value in regions.items())
            print(f"step {self.step}, {name}: {mean_region_dice(regions):.3f} ({each})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("run", type=Path)
    parser.add_argument("--splits", required=True)
    parser.add_argument("--from", dest="start", default="")
    parser.add_argument("--channels", type=int, nargs="+", required=True)
    for name, default in (("steps", 400), ("validate-every", 50), ("patch", 48), ("seed", 0), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = vars(parser.parse_args())
    if given["run"].exists():
        parser.error(f"{given['run']}: exists already; give a new folder")
    options = {
        **given,
        "run": str(given["run"]),
        "channels": tuple(given["channels"]),
        "preset": "small",
        "region_dice": 0.0,
    }
    options["folders"] = (options.pop("store"),)
    finetune.FineTuning = AveragedFineTuning  # type: ignore[misc]
    finetune.finetune(make_config(FinetuneConfig, options))


if __name__ == "__main__":
    main()
