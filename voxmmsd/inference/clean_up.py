"""Optional post-processing: components of a label below a size are replaced by the surrounding label.

Voxels that touch by face, edge or corner are one component. Labels are gone through from the strongest to the weakest
of ``labels.PRECEDENCE``, inner tissues first: an enhancing speck in a speck of necrosis counts to the necrosis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError
from voxmmsd.inference.predict import Prediction
from voxmmsd.labels import LabelSchema

_TOUCHING = np.ones((3, 3, 3), bool)


def parse_min_component(texts: Sequence[str], schema: LabelSchema) -> dict[str, float]:
    """``("ET=0.05", "ED=1")`` as label's key -> ml.

    Raises:
        ConfigError: no such label, or no volume.
    """
    smallest = {}
    for text in texts:
        key, _, amount = text.partition("=")
        try:
            smallest[schema.label(key).key] = float(amount)
        except (KeyError, ValueError):
            known = ", ".join(label.key for label in schema.labels)
            raise ConfigError(
                f"--min-component {text}: expected LABEL=ML, such as {schema.labels[0].key}=0.1", f"labels are {known}"
            ) from None
    return smallest


def cleaned(prediction: Prediction, smallest_ml: Mapping[str, float]) -> Prediction:
    """The prediction without components below these sizes; a note says what went. Probabilities stay as they are."""
    if not smallest_ml:
        return prediction
    label, removed = without_small(prediction.label_zyx, prediction.schema, prediction.grid, smallest_ml)
    prepared, _ = without_small(prediction.prepared_label_zyx, prediction.schema, prediction.prepared.grid, smallest_ml)
    rules = ", ".join(f"{key} below {amount:g} ml" for key, amount in smallest_ml.items())
    counts = ", ".join(f"{len(sizes)} of {key} ({sum(sizes):.3g} ml)" for key, sizes in removed.items()) or "none"
    return replace(
        prediction,
        label_zyx=label,
        prepared_label_zyx=prepared,
        volumes_ml=volumes_ml(label, prediction.schema, prediction.grid),
        notes=(*prediction.notes, f"cleaned up: components of {rules} became what is around them: {counts}"),
    )


def without_small(
    label_zyx: np.ndarray, schema: LabelSchema, grid: Grid, smallest_ml: Mapping[str, float]
) -> tuple[np.ndarray, dict[str, list[float]]]:
    """A new map of class indices, and by label's key the sizes (ml) of the components that went."""
    result, removed = label_zyx.copy(), {}
    for key in (key for key in schema.precedence if smallest_ml.get(key, 0) > 0):
        index = [label.key for label in schema.labels].index(key) + 1
        # Seen before any of them changes, or the order of neighbors would matter.
        small = list(_components_below(result == index, smallest_ml[key] / grid.voxel_volume_ml))
        surrounding = [_surrounding(result, box, inside) for box, inside in small]
        for (box, inside), value in zip(small, surrounding, strict=True):
            result[box][inside] = value
        if small:
            removed[key] = [float(inside.sum()) * grid.voxel_volume_ml for _, inside in small]
    return result, removed


def _components_below(mask: np.ndarray, voxels: float) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Each component of fewer voxels: its box, and which voxels of the box are its own."""
    numbered, count = ndimage.label(mask, _TOUCHING)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        if sizes[number] < voxels:
            yield box, numbered[box] == number


def _surrounding(label_zyx: np.ndarray, box: tuple[slice, ...], inside: np.ndarray) -> int:
    """The label that most voxels around a component have; of equal ones the first, background before all."""
    wide = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
    around = label_zyx[wide]
    own = np.zeros(around.shape, bool)
    own[tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))] = inside
    rim = ndimage.binary_dilation(own, _TOUCHING) & ~own
    return int(np.bincount(around[rim]).argmax()) if rim.any() else 0
