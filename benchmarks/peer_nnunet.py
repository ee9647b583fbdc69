"""nnU-Net v2 (``pip install nnunetv2``): its own fingerprint, plan, network, augmentation and loss, a short schedule.

Only the length differs from what its commands do: the learning rate falls with the time instead of over 1,000 epochs,
all cases train (``fold all``), and nothing is validated on the way. Regions are trained as nnU-Net does for BraTS.
Prediction is without its eight mirror images, which ours goes without too.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from voxmmsd.data.store import PreparedCase
from voxmmsd.labels import MODALITIES, LabelSchema

DATASET = "Dataset001_Tumors"
CONFIGURATION = "3d_fullres"
POWER = 0.9  # of nnU-Net's learning rate schedule


def teach(
    entries: Sequence[PreparedCase],
    schema: LabelSchema,
    options: argparse.Namespace,
    device: torch.device,
    clock: Callable[[], float],
) -> tuple[Callable[[PreparedCase], np.ndarray], int]:
    """A network planned and trained by nnU-Net until the time is up, and its steps."""
    folder = options.folder.absolute()
    os.environ |= {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "f", "nnUNet_def_n_proc": "1"}
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess_dataset,
    )
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    _write_raw(entries, schema, folder / "raw" / DATASET)
    extract_fingerprints([1], num_processes=1)
    plan_experiments([1], gpu_memory_target_in_gb=options.memory)
    preprocess_dataset(1, configurations=[CONFIGURATION], num_processes=[1])
    os.environ |= {"nnUNet_n_proc_DA": "0"}  # patches are cut in this process: the peer has its threads and no more
    prepared = folder / "preprocessed" / DATASET
    plans, described = (json.loads((prepared / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    planned = plans["configurations"][CONFIGURATION]
    print(f"nnU-Net plans patches of {planned['patch_size']}, {planned['batch_size']} per step", flush=True)
    trainer = nnUNetTrainer({**plans, "continue_training": False}, CONFIGURATION, "all", described, device)
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.network.train()
    steps, started = 0, clock()
    while (share := (clock() - started) / (60 * options.minutes)) < 1:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - share) ** POWER
        loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
        steps += 1
        if steps % 10 == 0:
            print(f"step {steps}: loss {float(loss):.3f}", flush=True)
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False, device=device)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        described,
        "nnUNetTrainer",
        None,
    )

    def segment(entry: PreparedCase) -> np.ndarray:
        image = np.asarray(entry.image(), np.float32)
        properties = {"spacing": 3 * [entry.preprocess.spacing_mm]}
        return predictor.predict_single_npy_array(image, properties).astype(np.uint8)

    return segment, steps


def _write_raw(entries: Sequence[PreparedCase], schema: LabelSchema, folder: Path) -> None:
    """Cases and their description in the form that nnU-Net reads."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for entry in entries:
        affine = np.diag([*(3 * [entry.preprocess.spacing_mm]), 1])
        images = np.asarray(entry.image(), np.float32)
        for number, image in enumerate(images):
            file = folder / "imagesTr" / f"{entry.id}_{number:04d}.nii.gz"
            nib.save(nib.Nifti1Image(image.T, affine), file)
        label = nib.Nifti1Image(np.asarray(entry.label()).T, affine)
        nib.save(label, folder / "labelsTr" / f"{entry.id}.nii.gz")
    regions = {region.key: list(schema.region_indices(region)) for region in schema.regions[:3]}
    described = {
        "channel_names": {str(number): name for number, name in enumerate(MODALITIES)},
        "labels": {"background": 0, **regions},
        "regions_class_order": [_rim(schema, number) for number in range(3)],
        "numTraining": len(entries),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")


def _rim(schema: LabelSchema, number: int) -> int:
    """The class of a nested region's voxels that are not in the next inner one."""
    nested = [set(schema.region_indices(region)) for region in schema.regions[:3]] + [set()]
    return min(nested[number] - nested[number + 1])
