"""Labels on the grid of the series that they are exported with."""

from __future__ import annotations

import numpy as np

from voxmmsd.data.formats.sources import Source, former_sha256, source_sha256
from voxmmsd.data.grid import Grid
from voxmmsd.data.label_maps import on_same_voxels
from voxmmsd.data.volume import Volume, resample
from voxmmsd.dicom_export.result import ExportedResult
from voxmmsd.dicom_export.series import SourceSeries
from voxmmsd.errors import InputError

_LOST = 0.01  # of the labeled voxels may lie beyond the edge of the series


def on_series(result: ExportedResult, series: SourceSeries, *, other_grid: bool = False) -> tuple[Volume, list[str]]:
    """The labels on the grid of ``series``, and what there is to say about it.

    Labels on another grid are resampled (nearest neighbor) if the series is one of the images that were segmented.
    Otherwise equal coordinates may be different places, as after a registration to an atlas: ``other_grid`` states that
    they are the same.

    Raises:
        InputError: no labels, or a series that does not belong to them.
    """
    label = result.label
    if not label.array.any():
        raise InputError(
            f"{result.file}: is empty, and a DICOM SEG needs a segment",
            "there is no tumor to export; see the pictures and findings of the result",
        )
    given = _given(result, series)
    _refuse_moved(result, series, given)
    same = on_same_voxels(label, series.grid)
    if same is not None and same.array.astype(bool).sum() == label.array.astype(bool).sum():
        return same, []
    outside = share_outside(label, series.grid)
    if outside == 1:
        raise InputError(
            f"{series.folder}: the series and the labels of {result.file} have no place in common",
            "give the series that was segmented",
        )
    if not (given or other_grid):
        raise InputError(
            f"{series.folder}: is on another grid than {result.file}, and none of the images that were segmented",
            "give the series that was segmented; if both lie in the same scanner coordinates, --other-grid resamples "
            "the labels",
        )
    if outside > _LOST:
        raise InputError(
            f"{series.folder}: {outside:.0%} of the labeled voxels of {result.file} lie outside the series",
            "give the series that was segmented",
        )
    placed = resample(label, series.grid, order=0)
    if not placed.array.any():
        raise InputError(
            f"{series.folder}: its slices miss all labels of {result.file}", "give the series that was segmented"
        )
    remark = (
        "the labels were on another grid than the series: resampled to its voxels (nearest neighbor), so volumes differ"
    )
    return placed, [remark]


def share_outside(label: Volume, grid: Grid) -> float:
    """Which part of the labeled voxels has its center outside the voxels of ``grid``."""
    places = np.argwhere(label.array)
    to_grid = np.linalg.inv(grid.affine_zyx) @ label.grid.affine_zyx
    indices = places @ to_grid[:3, :3].T + to_grid[:3, 3]
    inside = ((indices >= -0.5) & (indices <= np.array(grid.shape_zyx) - 0.5)).all(axis=1)
    return 1.0 - float(inside.mean())


def _given(result: ExportedResult, series: SourceSeries) -> list[str]:
    """The modalities of the result that are this series, by the digests of its record.

    Raises:
        InputError: version 0.1 segmented several series of one folder, some of them moved, and did not say which.
    """
    source, inputs = Source(series.folder, series_uid=series.uid), result.record.inputs
    own = source_sha256(source)
    if own in inputs.values():
        return [name for name, digest in inputs.items() if digest == own]
    former = former_sha256(source)
    given = [name for name, digest in inputs.items() if digest == former]
    if len(given) > 1 and any(name in result.moved for name in given):
        raise InputError(
            f"{result.file}: was made by an earlier version, which did not record which series of {series.folder.name} "
            f"is which, and {', '.join(name for name in given if name in result.moved)} was moved before it was "
            "segmented",
            "segment the case again, and export that result",
        )
    return given


def _refuse_moved(result: ExportedResult, series: SourceSeries, given: list[str]) -> None:
    moved = [name for name in given if name in result.moved]
    if moved and result.record.reference not in given:
        raise InputError(
            f"{series.folder}: was moved by {result.moved[moved[0]]:.1f} mm onto the {result.record.reference} before "
            "it was segmented, so the labels do not lie on it",
            f"give the series of the {result.record.reference}",
        )
