"""``voxmmsd export``: write a model in the format of other software."""

from __future__ import annotations

from dataclasses import dataclass

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb, require

EXPORTS = ("onnx", "torchscript", "monai-bundle")


@dataclass(frozen=True)
class ExportConfig:
    model: str = option(
        "",
        "model name, package folder, zip or run (default: the most recently accepted model)",
        affects=Affects.INPUT,
        positional=True,
    )
    to: str = option("onnx", "format", choices=EXPORTS)
    out: str = option("", "file (onnx, torchscript) or folder (monai-bundle) to write", affects=Affects.PLACE)


def run(config: ExportConfig) -> None:
    from voxmmsd.models.export import export_model
    from voxmmsd.models.registry import resolve_model

    print(export_model(resolve_model(config.model), config.to, require(config.out, "--out PATH")))


VERB = Verb("export", "export a model as ONNX, TorchScript or a MONAI bundle", ExportConfig, run)
