"""Started by torchrun on two processes: a fine-tuning, after which each writes its network's BatchNorm statistics.

torchrun --nproc-per-node=2 frozen_statistics.py OPTIONS.json FOLDER
"""

import sys
from pathlib import Path

import torch

from voxmmsd.cli import main
from voxmmsd.training.finetune import FineTuning

true = FineTuning.after_update


def watched(self: FineTuning) -> None:
    true(self)
    floating = {name: buffer.clone() for name, buffer in self.network.named_buffers() if buffer.is_floating_point()}
    torch.save(floating, Path(sys.argv[2]) / f"step-{self.step}-process-{self.processes.rank}.pt")


FineTuning.after_update = watched  # type: ignore[method-assign]
sys.exit(main(["finetune", "--config", sys.argv[1]]))
