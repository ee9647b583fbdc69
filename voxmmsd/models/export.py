"""Export a model as ONNX, TorchScript or a MONAI bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from voxmmsd.errors import InputError
from voxmmsd.files import folder_written_aside, write_bytes_atomic, written_aside
from voxmmsd.labels import schema_named
from voxmmsd.models.package import ModelInfo, ModelPackage, refuse_pretrained


def export_model(package: ModelPackage, form: str, out: Path) -> Path:
    """Write ``out``: a file (``onnx``, ``torchscript``) with a JSON description of input and output, or a folder.

    Raises:
        InputError: ``out`` exists.
        ModelError: the package cannot segment, or the export is wrong.
    """
    refuse_pretrained(package)
    record, said = out.with_name(out.name + ".json"), _text(_interface(package.info))
    if out.exists() or (record.exists() and record.read_bytes() != said):
        raise InputError(f"{out if out.exists() else record}: exists already", "give another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    if form == "monai-bundle":
        from voxmmsd.models.export_bundle import export_bundle

        with folder_written_aside(out) as aside:
            export_bundle(package, aside)
        return out
    with written_aside(out) as aside:
        if form == "onnx":
            shutil.copyfile(package.onnx, aside)
        else:
            from voxmmsd.models.export_torchscript import export_torchscript
            from voxmmsd.models.weights import load_network

            export_torchscript(load_network(package), aside)
        write_bytes_atomic(record, said)  # first: where the model stands its record does, and a kill before is no harm
    return out


def _text(record: dict[str, object]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _interface(info: ModelInfo) -> dict[str, object]:
    schema = schema_named(info.schema)
    return {
        "model": info.id,
        "input": {
            "shape": ["batch", list(info.modalities), "z", "y", "x"],
            "dtype": "float32",
            "axes": "closest-canonical RAS, reversed: z to the top, y to the front, x to the right",
            "spacing_mm": info.preprocess.spacing_mm,
            "sides_are_multiples_of": info.network.divisor,
            "extent": "the box of what is above 0, grown by zeros to such multiples; outside it is background",
            "least_window": info.window,
            "intensity": (
                f"percentile {info.preprocess.percentile:g} of a modality's non-zero voxels to 255, clipped, rounded; "
                "then each modality times 0.5 / (median of its voxels above 0); an absent modality is 0"
            ),
        },
        "output": {"logits": ["batch", ["background", *(label.name for label in schema.labels)], "z", "y", "x"]},
        "probabilities": f"softmax of the logits divided by {info.temperature:g}",
        "label_values": [0, *schema.values],
        "limits": info.limits,
    }
