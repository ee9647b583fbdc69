"""Export a model as a MONAI bundle: runs by ``python -m monai.bundle run``, without this package.

    python -m monai.bundle run --config_file BUNDLE/configs/inference.json --meta_file BUNDLE/configs/metadata.json \\
        --bundle_root BUNDLE --dataset_dir CASES --output_dir RESULTS

A case is a folder of four co-registered, skull-stripped images, ``*t1n*``, ``*t1c*``, ``*t2w*``, ``*t2f*``. On grids of
the model's spacing the labels are those of ``voxmmsd segment``; elsewhere MONAI's interpolation differs a little. Where
memory is short, ``--window 128`` goes window by window.

What is the same for every model lies in ``bundle_template``.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from voxmmsd.files import read_json, write_json_atomic, write_text_atomic
from voxmmsd.labels import schema_named
from voxmmsd.models.card import card
from voxmmsd.models.export_torchscript import export_torchscript
from voxmmsd.models.package import ModelInfo, ModelPackage
from voxmmsd.models.weights import load_network

TEMPLATE = Path(__file__).parent / "bundle_template"


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
    write_text_atomic(folder / "scripts" / "prepare.py", (TEMPLATE / "prepare.py").read_text(encoding="utf-8"))
    usage = (TEMPLATE / "use.md").read_text(encoding="utf-8")
    write_text_atomic(folder / "docs" / "README.md", f"{card(package.info)}\n{usage}")


def _metadata(info: ModelInfo) -> dict[str, Any]:
    record, schema = read_json(TEMPLATE / "metadata.json"), schema_named(info.schema)
    record |= {
        "version": info.version,
        "changelog": {info.version: f"exported from {info.id}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel")},
        "name": info.name,
        "description": f"3-D U-Net of voxmmsd; labels of schema {info.schema}. {info.limits}",
        "copyright": info.licence,
    }
    formats = record["network_data_format"]
    image, labels = formats["inputs"]["image"], formats["outputs"]["pred"]
    image["spatial_shape"] = labels["spatial_shape"] = [info.window] * 3
    labels["num_channels"] = schema.class_count
    names = ["background", *(label.name for label in schema.labels)]
    labels["channel_def"] = {str(number): name for number, name in enumerate(names)}
    return record


def _inference(info: ModelInfo) -> dict[str, Any]:
    return {
        **read_json(TEMPLATE / "inference.json"),
        "percentile": info.preprocess.percentile,
        "spacing": [info.preprocess.spacing_mm] * 3,
        "divisor": info.network.divisor,
        "label_values": [0, *schema_named(info.schema).values],
    }
