"""Export a model as a MONAI bundle: runs by ``python -m monai.bundle run``, without this package.

    python -m monai.bundle run --config_file BUNDLE/configs/inference.json --meta_file BUNDLE/configs/metadata.json \\
        --bundle_root BUNDLE --dataset_dir CASES --output_dir RESULTS

A case is a folder of four co-registered, skull-stripped images, ``*t1n*``, ``*t1c*``, ``*t2w*``, ``*t2f*``. On grids of
the model's spacing the labels are those of ``voxmmsd segment``; elsewhere MONAI's interpolation differs a little. Where
memory is short, ``--window 128`` goes window by window.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from voxmmsd.data import preprocess
from voxmmsd.files import write_json_atomic, write_text_atomic
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.models.card import card
from voxmmsd.models.export_torchscript import export_torchscript
from voxmmsd.models.package import ModelInfo, ModelPackage
from voxmmsd.models.weights import load_network

_SCRIPT = '''"""Preparation of images, as the model learned it (from voxmmsd, Apache-2.0)."""

import numpy as np
import torch

TISSUE_LEVEL = {level}
PERCENTILE = {percentile}


{to_uint8}

{input_scale}

def scaled(image):
    """(4, x, y, z): each modality's percentile is 255, in whole numbers."""
    image.set_array(torch.from_numpy(to_uint8(image.numpy(), PERCENTILE).astype(np.float32)))
    return image


def rounded(image):
    image.set_array(torch.round(image.as_tensor()))
    return image


def network_input(image):
    scale = torch.from_numpy(input_scale(image.numpy().astype(np.uint8)))
    image.set_array(image.as_tensor() * scale[:, None, None, None])
    return image
'''


def export_bundle(package: ModelPackage, folder: Path) -> None:
    """Write the bundle into ``folder``, which is empty.

    Raises:
        ModelError: the package cannot segment, or the export is wrong.
    """
    network = load_network(package)
    for name in ("configs", "models", "scripts", "docs"):
        (folder / name).mkdir(parents=True)
    export_torchscript(network, folder / "models" / "model.ts", xyz=True)
    write_json_atomic(folder / "configs" / "metadata.json", _metadata(package.info))
    write_json_atomic(folder / "configs" / "inference.json", _inference(package.info))
    write_text_atomic(folder / "scripts" / "__init__.py", "")
    script = _SCRIPT.format(
        level=preprocess.TISSUE_LEVEL,
        percentile=package.info.preprocess.percentile,
        to_uint8=inspect.getsource(preprocess.to_uint8),
        input_scale=inspect.getsource(preprocess.input_scale),
    )
    write_text_atomic(folder / "scripts" / "prepare.py", script)
    usage = (__doc__ or "").split("\n\n")[1]
    write_text_atomic(folder / "docs" / "README.md", f"{card(package.info)}\n## Use\n\n{usage}\n")


def _metadata(info: ModelInfo) -> dict[str, Any]:
    schema = schema_named(info.schema)
    classes = {"0": "background", **{str(n): label.name for n, label in enumerate(schema.labels, start=1)}}
    window = [info.window] * 3
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": info.version,
        "changelog": {info.version: f"exported from {info.id}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel")},
        "name": info.name,
        "task": "Brain tumor segmentation on multi-modal MRI",
        "description": f"3-D U-Net of voxmmsd; labels of schema {info.schema}. {info.limits}",
        "authors": "The SlicerVoxMMSD developers",
        "copyright": info.licence,
        "intended_use": "Research use only; not a medical device.",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "MR",
                    "num_channels": len(MODALITIES),
                    "spatial_shape": window,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(n): name for n, name in enumerate(MODALITIES)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": schema.class_count,
                    "spatial_shape": window,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": classes,
                }
            },
        },
    }


def _inference(info: ModelInfo) -> dict[str, Any]:
    values = [0, *schema_named(info.schema).values]
    files = ", ".join(f"glob.glob(case + '/*{name}*.nii*')[0]" for name in MODALITIES)
    divisor = info.network.divisor
    return {
        "imports": ["$import glob", "$import torch", "$import monai", "$import scripts.prepare as prepare"],
        "bundle_root": ".",
        "dataset_dir": "cases",
        "output_dir": "results",
        "window": 4096,
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "data": f"$[{{'image': [{files}]}} for case in sorted(glob.glob(@dataset_dir + '/*/'))]",
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device).eval()",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
                {"_target_": "Lambdad", "keys": "image", "func": "$prepare.scaled"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [info.preprocess.spacing_mm] * 3},
                {"_target_": "Lambdad", "keys": "image", "func": "$prepare.rounded"},
                {
                    "_target_": "CropForegroundd",
                    "keys": "image",
                    "source_key": "image",
                    "k_divisible": divisor,
                    "allow_smaller": False,
                },
                {"_target_": "Lambdad", "keys": "image", "func": "$prepare.network_input"},
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "segment": (
            "$lambda image: monai.inferers.sliding_window_inference(image[None].to(@device), "
            "[min(n, @window) for n in image.shape[1:]], 1, @network_def, "
            "overlap=0.25, mode='gaussian', sigma_scale=0.125)[0].argmax(0, keepdim=True)"
        ),
        "values": f"$torch.tensor({values}, dtype=torch.uint8)",
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": True,
                },
                {
                    "_target_": "Lambdad",
                    "keys": "pred",
                    "func": "$lambda pred: pred.set_array(@values[pred.as_tensor().long()])",
                },
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "seg",
                    "output_dtype": "uint8",
                    "separate_folder": False,
                },
            ],
        },
        "run": [
            "$[@postprocessing({'image': item['image'], 'pred': @segment(item['image']).cpu()}) for item in @dataset]"
        ],
    }
