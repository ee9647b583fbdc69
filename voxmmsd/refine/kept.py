"""Features in a file, for as long as a case is open: computing them takes as long as segmenting."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from voxmmsd.data.volume import Grid
from voxmmsd.errors import InputError
from voxmmsd.files import written_aside
from voxmmsd.refine.features import CaseFeatures

FORMAT = 2  # 2: how the images were read
_LEVEL = "level"


def write_features(
    file: Path, features: CaseFeatures, inputs: Mapping[str, str], reading: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write ``file``, an archive of NumPy's whatever its name, replacing one of other features.

    ``inputs``: SHA-256 of each image. ``reading``: the options that they were read with, as far as these are known.
    """
    levels = {f"{_LEVEL}{number}": array for number, array in enumerate(features.pyramid)}
    with written_aside(file) as aside, aside.open("wb") as stream:  # to a name, NumPy adds .npz where it lacks that
        np.savez(
            stream,
            format=np.array(FORMAT),
            made_of=np.array(_made_of(features.model, inputs)),
            reading=np.array(json.dumps(dict(reading))),
            affine=features.grid.affine_xyz,
            image=features.image_czyx,
            scale=features.scale,
            logits=features.logits_czyx,
            **levels,  # type: ignore[arg-type]
        )


def read_features(
    file: Path, model: str, inputs: Mapping[str, str], reading: Mapping[str, str] = MappingProxyType({})
) -> CaseFeatures | None:
    """The features of a file, or None where they are of another model (SHA-256 of its weights), of other images, or of
    images that were read in another way. ``reading`` is compared as far as it is known now and was known then.

    Raises:
        InputError: the file is none that ``write_features`` wrote.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            if int(found["format"]) != FORMAT or str(found["made_of"]) != _made_of(model, inputs):
                return None
            before = json.loads(str(found["reading"]))
            if any(before.get(name, value) != value for name, value in reading.items()):
                return None
            levels = sorted(name for name in found.files if name.startswith(_LEVEL))
            image = found["image"]
            grid = Grid(image.shape[1:], found["affine"])
            pyramid = tuple(found[name] for name in levels)
            return CaseFeatures(grid, image, found["scale"], found["logits"], pyramid, model)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file}: cannot be read as features ({error})", "delete it, or name another file with --features"
        ) from error


def _made_of(model: str, inputs: Mapping[str, str]) -> str:
    return " ".join([model, *(f"{name}={inputs[name]}" for name in sorted(inputs))])
