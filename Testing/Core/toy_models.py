"""A model package small enough for tests, with random weights."""

import dataclasses
import json
import shutil
from pathlib import Path

import torch

from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.model_config import NetworkConfig, PreprocessConfig
from voxmmsd.models.package import RECORD, ModelInfo, ModelPackage, read_package
from voxmmsd.models.weights import pack_network
from voxmmsd.networks.heads import SegmentationNetwork


def toy_network(seed=0, schema="brats-gli-2023"):
    """Three levels; BatchNorm statistics of real use, so that folding them has something to get wrong."""
    torch.manual_seed(seed)
    network = SegmentationNetwork(NetworkConfig.of((4, 6, 8)), schema_named(schema).class_count)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.rand(2, 4, 16, 16, 16))
    return network.eval()


def as_kept(tensor):
    """A trained tensor as a package has it: kernels rounded to float16."""
    return tensor.half().float() if tensor.ndim > 1 else tensor


def toy_info(**changes):
    record = {
        "id": "toy-1",
        "name": "toy",
        "version": "0.1.0",
        "parent": None,
        "created": "2026-01-02T03:04:05+00:00",
        "network": NetworkConfig.of((4, 6, 8)),
        "schema": "brats-gli-2023",
        "modalities": MODALITIES,
        "preprocess": PreprocessConfig(),
        "window": 32,
        "training": {"cases": {"train": ["a", "b"], "validation": ["c"]}, "steps": 3},
        "scores": {"validation": {"cases": 1, "regions": {"WT": 0.8, "TC": None, "ET": 0.25}}},
        "licence": "not stated",
        "limits": "For tests.",
        "files": {},
    }
    return ModelInfo(**{**record, **changes})


def toy_package(folder: Path, seed=0, **changes) -> ModelPackage:
    schema = changes.get("schema", "brats-gli-2023")
    return pack_network(folder, toy_network(seed, schema), toy_info(**changes))


def relabeled_package(package: ModelPackage, folder: Path, **changes) -> ModelPackage:
    """The same weights under another record, which costs no export."""
    shutil.copytree(package.folder, folder)
    record = {"format": 1, **dataclasses.asdict(dataclasses.replace(package.info, **changes))}
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return read_package(folder)
