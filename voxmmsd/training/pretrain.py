"""Pre-train a network on unlabeled scans with a pretext method, as initialization for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxmmsd.compute.processes import Processes, first_rank_first
from voxmmsd.data.store import PreparedCase
from voxmmsd.evaluation.pictures import restoration_picture
from voxmmsd.models.package import ModelPackage
from voxmmsd.pretext.method import open_method
from voxmmsd.runs import RunLog
from voxmmsd.schedules import cosine, warmed_cosine
from voxmmsd.training.blocks import BlockSampler
from voxmmsd.training.cases import unlabeled_entries
from voxmmsd.training.draws import Draw
from voxmmsd.training.loop import TrainingLoop, run_training
from voxmmsd.training.optimization import sgd
from voxmmsd.training.packing import pack_start
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.siamese import SiameseBlocks

LOOKED_AT = 4  # batches of held cases
LAST_RATE = 0.1  # share of the peak learning rate at the last step
WEIGHT_DECAY = (1e-5, 1e-4)  # at the first and at the last step


def pretrain(config: PretrainConfig) -> Path:
    """Run or resume the pre-training in ``config.run``; returns the folder of the resulting package.

    Raises: as ``run_training``.
    """

    def make(config: PretrainConfig, run: RunLog, processes: Processes) -> PreTraining:
        with first_rank_first(processes):
            entries, held = unlabeled_entries(config, run)
        return PreTraining(config, run, entries, held, processes)

    return run_training(config, make, PreTraining.verb)


class PreTraining(TrainingLoop):
    """The state of a pre-training and its training step."""

    verb = "pretrain"

    def __init__(
        self,
        config: PretrainConfig,
        run: RunLog,
        entries: Sequence[PreparedCase],
        held: Sequence[PreparedCase] = (),
        processes: Processes | None = None,
    ) -> None:
        super().__init__(config, run, processes)
        self.config, self.entries = config, entries
        self.method = open_method(config).to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.method.autocast = self.precision.autocast
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # blocks are all of one size: 1.2 times as fast (docs/long-runs.md)
        self.optimizer = sgd(self.method, WEIGHT_DECAY[0])
        self.trained = self.method
        self.sampler = BlockSampler(entries, config.block, config.batch, config.seed, self.device, self.processes)
        self.held = self.sampler
        if held:
            self.held = BlockSampler(held, config.block, config.batch, config.seed, self.device)
        self._held_name = "validation" if held else "training"

    def train(self) -> None:
        if self.step == 0 and self.processes.is_first:
            self._look()  # what an untrained network restores
        super().train()

    def losses(self, part: int) -> dict[str, torch.Tensor]:
        if part == 0:
            self._blocks = self.sampler.batch(self.step)
            self.method.start_step()
        self.method.train()
        generator = torch.Generator(self.device).manual_seed(self.draw_seed(Draw.MASK_AND_VIEWS, part))
        return self.method.losses(self._blocks.part(part, self.memory.parts), self.step, generator)

    def after_update(self) -> None:
        self.method.after_update(self.step)

    def rates(self, step: int) -> dict[str, float]:
        config = self.config
        warmup, peak = round(config.warmup * config.steps), config.learning_rate
        return {
            "learning_rate": warmed_cosine(step, config.steps, warmup, peak, LAST_RATE * peak),
            "weight_decay": cosine(step, config.steps, *WEIGHT_DECAY),
        }

    def warnings(self, means: dict[str, float]) -> list[str]:
        return self.method.warnings(means)

    def after_step(self, is_last: bool) -> None:
        if self.step % self.config.preview_every == 0 or is_last:
            self._look()

    def _look(self) -> None:
        """Restore the same blocks of validation cases with the same masks each time; log the error and a picture."""
        errors: list[float] = []
        constants: list[float] = []
        for number in range(LOOKED_AT):
            blocks = self.held.batch(number)
            seed = int(np.random.default_rng([self.config.seed, Draw.VALIDATION_VIEWS, number]).integers(2**62))
            found = self.method.restore(blocks, torch.Generator(self.device).manual_seed(seed))
            if found is None:
                return
            seen, restored = found
            mean = blocks.image.mean(dim=(2, 3, 4), keepdim=True)
            for kept, guess in ((errors, restored), (constants, mean)):
                kept.append(float((guess - blocks.image).abs().mean(dim=(2, 3, 4))[blocks.informative].mean()))
            if number == 0:
                self._picture(blocks, seen, restored)
        self.run.metric(self.step, f"{self._held_name} restoration error", sum(errors) / len(errors))
        self.run.metric(self.step, f"{self._held_name} error of the mean", sum(constants) / len(constants))

    def _picture(self, blocks: SiameseBlocks, seen: torch.Tensor, restored: torch.Tensor) -> None:
        file = self.run.folder / "previews" / f"step-{self.step:08d}.png"
        rows = [array[0].cpu().numpy() for array in (seen, restored, blocks.image)]
        restoration_picture(rows[0], rows[1], rows[2], blocks.informative[0].tolist(), file)
        self.run.events.write("preview", step=self.step, file=f"previews/{file.name}")

    def state(self) -> dict[str, Any]:
        return {"method": self.method.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state["method"])

    def pack(self) -> ModelPackage:
        """Write the student network after the last step as the package of the run."""
        return pack_start(self.method.unet, self.config, self.run, self.entries)
