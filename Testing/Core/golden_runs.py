"""Seeded trainings on phantoms whose losses are pinned: what each of the first steps computes, as plain numbers.

    cd Testing/Core && python -m golden_runs

writes ``golden/pretrain.json``, ``finetune.json`` and ``retune.json`` again, for a commit that says why they changed.

They hold on any CPU and with any number of threads. Networks compute in float64 here: the gradient of a bias before
BatchNorm is zero but for rounding, and AdamW divides it by itself, so that in float32 some weights move at random by
the learning rate and the losses differ in the third digit from one processor to the next. Dropout is switched off,
since torch's draws for it depend on how torch was built. Views, draws and losses are in float32 as always.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from conftest import GOLDEN
from corrected_cases import SCHEMA, images_of, label_of, phantom
from torch import nn
from toy_models import toy_info

from voxmmsd.config import make_config
from voxmmsd.corrections.labels import corrected_entries, corrected_splits, fixed_corrections
from voxmmsd.corrections.propose import correcting
from voxmmsd.library import create_library
from voxmmsd.model_config import NetworkConfig
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.weights import pack_network
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import open_run
from voxmmsd.training.cases import fixed_splits, labeled_entries, unlabeled_entries
from voxmmsd.training.finetune import FineTuning
from voxmmsd.training.loop import TrainingLoop
from voxmmsd.training.pretrain import PreTraining
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

CHANNELS = (4, 6, 8)
STEPS = 8
Figures = list[dict[str, float]]


def pretrain_figures(folder: Path) -> Figures:
    """Vox-MMSD on three cases, one of which lacks T2."""
    cases = write_phantoms(folder / "cases", 3, seed=0, side=32)
    next(cases[1].glob("*-t2w.nii.gz")).unlink()
    config = make_config(PretrainConfig, {
        "folders": (str(folder / "cases"),), "run": str(folder / "run"), "channels": CHANNELS, "block": 16,
        "mask_size": 4, "mask_ratio": 0.5, "pairs": 64, "candidates": 4096, "steps": STEPS, "learning_rate": 0.02,
        "warmup": 0.25, "device": "cpu", "threads": 1, "workers": 1,
    })  # fmt: skip
    with open_run(folder / "run", "pretrain", {}, STEPS) as run:
        entries, held = unlabeled_entries(config, run)
        with _float64_weights():
            training = PreTraining(config, run, entries, held)
        return _figures(training)


def finetune_figures(folder: Path) -> Figures:
    """From scratch, with modality dropout and all augmentation, over the end of the class balance and of BatchNorm's
    free statistics."""
    write_phantoms(folder / "cases", 4, seed=0, side=32)
    config = make_config(FinetuneConfig, {
        "folders": (str(folder / "cases"),), "run": str(folder / "run"), "channels": CHANNELS, "patch": 16,
        "steps": STEPS, "modality_dropout": 0.5, "warmup": 0.25, "device": "cpu", "threads": 1, "workers": 1,
    })  # fmt: skip
    with open_run(folder / "run", "finetune", {}, STEPS) as run:
        entries = labeled_entries(config, run)
        splits = fixed_splits(config, run, entries)
        with _float64_weights():
            training = FineTuning(config, run, entries, splits)
        return _figures(training)


def retune_figures(folder: Path) -> Figures:
    """From a toy model on a library of three training cases and one held-out, over the end of the head's warm-up."""
    parent = toy_parent(folder / "parent")
    library = create_library(folder / "library", seed=0)
    for number in range(4):
        library.add_case(f"case-{number}", images_of(phantom(number)), part="training" if number < 3 else "hold-out")
        library.accept(f"case-{number}", label_of(phantom(number)), SCHEMA)
    config = make_config(FinetuneConfig, {
        "folders": (str(library.folder),), "start": str(parent.folder), "run": str(folder / "run"),
        "channels": CHANNELS, "patch": 16, "steps": 2 * STEPS, "region_dice": 0.0, "device": "cpu", "threads": 1,
        "workers": 1,
    })  # fmt: skip
    with open_run(folder / "run", "finetune", {}, STEPS) as run:
        corrections = fixed_corrections(config, run, library, parent)
        entries = corrected_entries(config, run, library, corrections, parent)
        splits = corrected_splits(run, library, corrections, entries)
        with _float64_weights():
            training = correcting(config, run, entries, splits, corrections.new)
        return _figures(training)


RUNS: dict[str, Callable[[Path], Figures]] = {
    "pretrain": pretrain_figures,
    "finetune": finetune_figures,
    "retune": retune_figures,
}


def toy_parent(folder: Path) -> ModelPackage:
    """A network of random kernels whose BatchNorm has seen some batches."""
    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkConfig.of(CHANNELS), class_count=4)
    _without_dropout(network)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.rand(2, 4, 16, 16, 16))
    return pack_network(folder, network.eval(), toy_info(network=NetworkConfig.of(CHANNELS)))


def _figures(training: TrainingLoop) -> Figures:
    _without_dropout(training.trained)
    for module in training.trained.modules():
        if isinstance(module, UNet3d):
            module.register_forward_pre_hook(lambda _, images: tuple(image.double() for image in images))
    figures = []
    for training.step in range(STEPS):
        values = {**training.train_step(), **training.rates(training.step)}
        figures.append({name: float(value) for name, value in values.items()})
    return figures


@contextmanager
def _float64_weights() -> Iterator[None]:
    """What is made in here has weights of float64; draws come after it, as they are in float32."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def _without_dropout(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def main() -> None:
    for name, figures_of in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            figures = figures_of(Path(folder))
        rows = ",\n  ".join(json.dumps({key: float(f"{value:.8g}") for key, value in row.items()}) for row in figures)
        (GOLDEN / f"{name}.json").write_text(f'{{"steps": [\n  {rows}\n]}}\n', encoding="utf-8")
        print(f"{name}: {len(figures)} steps, the last {figures[-1]}")


if __name__ == "__main__":
    main()
