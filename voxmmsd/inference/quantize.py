"""Int8 quantization of a model, refused if its Dice on the validation cases drops too much."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from voxmmsd.data.case import Case
from voxmmsd.data.cases import find_cases
from voxmmsd.data.preprocess import Preprocess, input_scale
from voxmmsd.data.reading import read_case
from voxmmsd.errors import MissingDependencyError, ModelError
from voxmmsd.evaluation.scores import nan_mean
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.subsets import choose_cases, region_means
from voxmmsd.inference.windows import TissueBox
from voxmmsd.models.agreement import LARGEST_OF_8_BITS, QUANTIZED, compare_networks
from voxmmsd.models.card import card
from voxmmsd.models.learned import inherited_by
from voxmmsd.models.package import CARD, ONNX, WEIGHTS, ModelPackage, refuse_existing, write_package
from voxmmsd.models.provenance import INHERITED
from voxmmsd.models.registry import resolve_model
from voxmmsd.wording import counted

RECORDED = "quantized"  # the key of the model's training record
MAX_LOSS = 0.003  # of Dice: 0.3 points
CALIBRATION_CASES, CALIBRATION_SIDE = 4, 96


def quantize_model(model: str, cases: Path, out: Path) -> str:
    """Quantize a model into the package ``out``, with labeled cases it was trained on; returns text.

    Raises:
        InputError: none of its training or validation cases is in the folder ``cases``.
        ModelError: the loss is too large, or the ONNX file differs too much from the weights, and nothing is written;
            or ``out`` exists.
        MissingDependencyError: the package onnx is not installed.
    """
    refuse_existing(out)
    package = resolve_model(model)
    found = find_cases(cases).cases
    held = choose_cases(found, package, "validation")[0]
    learned = choose_cases(found, package, "train")[0][:CALIBRATION_CASES]
    before = region_means(held, package, open_engine(package, device="cpu"))
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        aside = quantize(package, learned, Path(place) / "model")
        after = region_means(held, aside, open_engine(aside, device="cpu"))
        points = (
            f"Dice on {counted(len(held), 'validation case')}: {_in_points(before)}, with 8 bits {_in_points(after)}"
        )
        if not nan_mean(after.values()) >= nan_mean(before.values()) - MAX_LOSS:
            most = f"{100 * MAX_LOSS:.1f} points"
            raise ModelError(f"{package.info.id}: {points}: more than {most} are lost", "stay with float32")
        scores = {"validation": {"cases": len(held), "regions": after}}
        kept = replace(aside.info, scores=scores, training={**aside.info.training, RECORDED: _compared(aside)})
        files = {name: aside.folder / name for name in (WEIGHTS, ONNX)}
        writers = {name: lambda file, name=name: _copy(files[name], file) for name in files}
        write_package(out, kept, {**writers, CARD: lambda file: _write(file, card(kept))})
    return f"{out}: {points}"


def _compared(package: ModelPackage) -> dict[str, float | str]:
    """For record and card: how much the ONNX file differs from the weights, and what an import allows.

    Raises:
        ModelError: they differ by more than that.
    """
    found = compare_networks(package)
    return {
        "largest_difference": "not measured, torch is missing" if found is None else round(found, 3),
        "allowed": LARGEST_OF_8_BITS,
    }


def quantize(package: ModelPackage, cases: Sequence[Case], folder: Path) -> ModelPackage:
    """A package in ``folder`` whose ONNX file has 8 bits, the ranges of features taken from ``cases``.

    The head stays in float32. Weights have a scale per channel. The way is ONNX Runtime's static quantization.

    Raises:
        MissingDependencyError: the package onnx is not installed.
    """
    if find_spec("onnx") is None:
        raise MissingDependencyError("quantizing needs the package onnx", "install it with `pip install onnx`")
    training = {**package.info.training, INHERITED: inherited_by(package.info).record()}
    info = replace(package.info, id=f"{package.info.id}{QUANTIZED}", parent=package.info.id, training=training)
    writers = {
        WEIGHTS: lambda file: _copy(package.weights, file),
        ONNX: lambda file: _quantize_onnx(package, cases, file),
        CARD: lambda file: _write(file, card(info)),
    }
    return write_package(folder, info, writers)


def _quantize_onnx(package: ModelPackage, cases: Sequence[Case], file: Path) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = _calibration_images(package, cases)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image}

    with TemporaryDirectory(prefix="voxmmsd-") as place:
        simple = Path(place) / "simple.onnx"
        quant_pre_process(str(package.onnx), str(simple), skip_symbolic_shape=True)
        head = [node.name for node in onnx.load(simple).graph.node if "logits" in node.output]
        quantize_static(
            str(simple),
            str(file),
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Concat", "MaxPool"],
            nodes_to_exclude=head,
        )


def _calibration_images(package: ModelPackage, cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """``(1, 4, z, y, x)`` float32: the middle of each case's brain, with its tumor where there is a label."""
    divisor = package.info.network.divisor
    for case in cases:
        prepared = Preprocess(package.info.preprocess).apply(read_case(case))
        image = TissueBox.around(prepared.image_czyx, divisor).cut(prepared.image_czyx)
        side = CALIBRATION_SIDE // divisor * divisor
        middle = [slice((n - min(n, side)) // 2, (n - min(n, side)) // 2 + min(n, side)) for n in image.shape[1:]]
        yield (image[:, *middle] * input_scale(prepared.image_czyx)[:, None, None, None])[None]


def _in_points(regions: Mapping[str, float | None]) -> str:
    return f"{100 * nan_mean(regions.values()):.2f}"


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
