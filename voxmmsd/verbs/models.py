"""``voxmmsd models``: the models of the registry."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxmmsd.config import DEVICES, Affects, option
from voxmmsd.errors import ConfigError
from voxmmsd.verbs.verb import Verb, VerbGroup, existing, require

if TYPE_CHECKING:
    from voxmmsd.models.package import ModelPackage


@dataclass(frozen=True)
class AllModelsConfig:
    """No options: the action concerns the registry as a whole."""


@dataclass(frozen=True)
class ModelConfig:
    model: str = option("", "package folder, zip, run, or model name", affects=Affects.INPUT, positional=True)


@dataclass(frozen=True)
class ModelExportConfig(ModelConfig):
    out: str = option("", "zip to write", affects=Affects.PLACE)


@dataclass(frozen=True)
class ModelAcceptConfig(ModelConfig):
    force: bool = option(False, "accept a model even if it was found to be worse than its parent")


@dataclass(frozen=True)
class QuantizeConfig(ModelConfig):
    out: str = option("", "folder to write", affects=Affects.PLACE)
    cases: str = option("", "folder of the labeled cases that the model was trained on", affects=Affects.INPUT)


@dataclass(frozen=True)
class AverageConfig:
    models: tuple[str, ...] = option(
        (), "two or more models: package folders, zips, runs, or names", affects=Affects.INPUT, positional=True
    )
    out: str = option("", "folder to write", affects=Affects.PLACE)
    name: str = option("", "name of the resulting model (default: that of the first)")


@dataclass(frozen=True)
class CalibrateConfig(ModelConfig):
    cases: tuple[str, ...] = option((), "folders of labeled cases, or prepared stores", affects=Affects.INPUT)
    splits: str = option(
        "",
        "JSON file of splits whose validation cases are used (default: the model's own validation cases)",
        affects=Affects.INPUT,
    )
    device: str = option("auto", "device to compute on", choices=DEVICES, affects=Affects.DEVICE)


def _list(config: AllModelsConfig) -> None:
    from voxmmsd.models.registry import report

    print(report())


def _import(config: ModelConfig) -> None:
    from voxmmsd.models.agreement import refuse_two_networks
    from voxmmsd.models.registry import import_model

    package = _package(config)
    if remark := refuse_two_networks(package):
        print(f"{package.info.id}: {remark}", file=sys.stderr)
    print(f"imported {package.info.id}: {import_model(package.folder).folder}")


def _export(config: ModelExportConfig) -> None:
    from voxmmsd.models.archive import export_model

    print(export_model(_package(config), require(config.out, "--out FILE.zip")))


def _accept(config: ModelAcceptConfig) -> None:
    from voxmmsd.models.registry import accept, remark_on_comparison

    package = _package(config)
    if remark := remark_on_comparison(package):
        print(remark, file=sys.stderr)
    print(f"accepted {package.info.id}: {accept(package, config.force).folder}")


def _reject(config: ModelConfig) -> None:
    from voxmmsd.models.registry import reject

    print(f"rejected {reject(_package(config)).info.id}")


def _roll_back(config: AllModelsConfig) -> None:
    from voxmmsd.models.registry import rollback

    before, after = rollback()
    print(f"rolled back {before}; in use now: {after or 'none'}")


def _delete(config: ModelConfig) -> None:
    from voxmmsd.models.registry import delete

    freed = delete(str(require(config.model, "MODEL")))
    print(f"deleted {config.model}: {freed / 2**20:.1f} MiB freed")


def _quantize(config: QuantizeConfig) -> None:
    from voxmmsd.inference.quantize import quantize_model

    if not config.cases or not config.out:
        raise ConfigError(
            "models quantize: needs cases and a place for the result",
            "give --cases FOLDER (those the model was trained on) and --out DIR",
        )
    print(quantize_model(config.model, Path(config.cases), Path(config.out)))


def _average(config: AverageConfig) -> None:
    from voxmmsd.models.average import average_models

    print(average_models(config.models, require(config.out, "--out DIR"), config.name))


def _calibrate(config: CalibrateConfig) -> None:
    from voxmmsd.inference.calibrate import calibrate_model

    if not config.cases:
        raise ConfigError("models calibrate: needs labeled cases", "give --cases FOLDER (the validation cases)")
    splits = Path(config.splits) if config.splits else None
    model = str(require(config.model, "MODEL"))
    print(calibrate_model(model, [existing(folder) for folder in config.cases], splits, config.device))


def _package(config: ModelConfig) -> ModelPackage:
    from voxmmsd.models.registry import resolve_model

    return resolve_model(str(require(config.model, "MODEL")))


VERB = VerbGroup(
    "models",
    "list, import, export, accept, reject, roll back, delete, calibrate, average or quantize models",
    (
        Verb("list", "list the models of the registry", AllModelsConfig, _list),
        Verb("import", "copy a model into the registry", ModelConfig, _import),
        Verb("export", "write a model as a zip", ModelExportConfig, _export),
        Verb("accept", "use a model from now on", ModelAcceptConfig, _accept),
        Verb("reject", "refuse a proposed model", ModelConfig, _reject),
        Verb("rollback", "use the model accepted before the one in use", AllModelsConfig, _roll_back),
        Verb("delete", "delete a model from the registry", ModelConfig, _delete),
        Verb("calibrate", "fit a model's probabilities to labeled cases", CalibrateConfig, _calibrate),
        Verb("average", "average the weights of related models", AverageConfig, _average),
        Verb("quantize", "write a copy of a model with 8-bit integers", QuantizeConfig, _quantize),
    ),
)
