"""Is a modality that is not aligned with the T1c noticed, and is one accused that does? Known motions of real cases.

    python benchmarks/misalignment.py FOLDER... [--moved 6] [--seed 0]

The modalities of all cases are looked at as they are. Those of the first ``--moved`` cases are moved, too: along or
about a random direction, about the brain's middle. *Brain*: it is moved with its outline. *Inside one mask*: the
outline stays and only what is in it is moved, as where one mask strips heads that were not aligned; a rim of 10 mm is
cut off all images there, so that tissue, not air, comes in. Only edges are asked here; outlines are a second sign.
With ``--mirrored``, all modalities are looked at as they are and flipped in each of seven ways, in place and inside one
mask, too; and those of the first cases moved as well.
A modality that is noticed as it is lies nobody knows where, and is not moved. The last columns are of those that are
noticed: what is said, of the true mean distance over the brain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from voxmmsd.data.cases import Case, find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.volume import Volume, resample
from voxmmsd.preflight.mirrored import LEFT_RIGHT, OTHER_FLIPS, SIDES, mirrored
from voxmmsd.preflight.misalignment import SPACING_MM, Displacement, displacement
from voxmmsd.wording import text_table

MOTIONS = (("mm", 2), ("mm", 4), ("mm", 6), ("mm", 10), ("degrees", 3), ("degrees", 6), ("degrees", 10))
RIM = 5  # voxels cut off inside one mask


def coarse(case: Case) -> dict[str, Volume]:
    volumes = {name: read_volume(source) for name, source in case.modalities.items()}
    grid = volumes["t1c"].grid.with_spacing(SPACING_MM)
    return {name: resample(Volume(v.array.astype(np.float32), v.grid), grid) for name, v in volumes.items()}


def moved(volume: Volume, kind: str, amount: float, direction: np.ndarray) -> tuple[Volume, float]:
    """The volume, and how many mm its brain lies from where it was, on average."""
    turn = np.eye(3) if kind == "mm" else Rotation.from_rotvec(np.radians(amount) * direction).as_matrix()
    shift = direction * amount / SPACING_MM if kind == "mm" else np.zeros(3)
    places = np.argwhere(volume.array > 0)
    middle = places.mean(axis=0)
    mean_mm = SPACING_MM * np.linalg.norm((places - middle) @ (turn.T - np.eye(3)) + shift, axis=1).mean()
    there = ndimage.affine_transform(volume.array, turn, middle - turn @ middle + shift, order=1)
    return Volume(there, volume.grid), float(mean_mm)


def cut(volume: Volume, brain: Volume) -> Volume:
    return Volume(volume.array * brain.array, volume.grid)


def look(case: Case, rng: np.random.Generator | None, found: dict[str, list[tuple[Displacement, float]]]) -> None:
    """Adds what is said, and the true mm (NaN where nobody knows them)."""
    volumes = coarse(case)
    fixed = volumes["t1c"]
    brain = Volume(ndimage.binary_erosion(fixed.array > 0, iterations=RIM), fixed.grid)
    measured = []
    for name, volume in volumes.items():
        if name == "t1c":
            continue
        measured.append((name, own := displacement(fixed, volume)))
        for kind, amount in MOTIONS if rng and not own.is_significant else ():
            direction = rng.normal(size=3)
            other, truly = moved(volume, kind, amount, direction / np.linalg.norm(direction))
            found.setdefault(f"brain, {amount} {kind}", []).append((displacement(fixed, other), truly))
            masked = displacement(cut(fixed, brain), cut(other, brain), brain)
            found.setdefault(f"inside one mask, {amount} {kind}", []).append((masked, truly))
    found.setdefault("as they are", []).extend((one, np.nan) for _, one in measured)
    signs = [f"{name} {one.mean_mm:.1f} +- {one.spread_mm:.1f} mm{' !' * one.is_significant}" for name, one in measured]
    print(f"{case.id}: {', '.join(signs)}", flush=True)


def flipped(volume: Volume, axes: tuple[int, ...]) -> Volume:
    """The brain flipped in its own place along ``axes`` x, y, z, which are the last, middle and first of an array."""
    array = volume.array
    for axis in (2 - each for each in axes):
        inside = np.flatnonzero((volume.array > 0).any(axis=tuple({0, 1, 2} - {axis})))
        array = np.roll(np.flip(array, axis), inside[0] + inside[-1] + 1 - array.shape[axis], axis=axis)
    return Volume(np.ascontiguousarray(array), volume.grid)


def look_for_flips(case: Case, rng: np.random.Generator | None, found: dict[str, list[tuple[bool, bool]]]) -> None:
    """Adds, by what was done to an image, whether it is taken for flipped, and whether just as it is."""
    volumes = coarse(case)
    fixed = volumes.pop("t1c")
    mask = Volume(ndimage.binary_fill_holes(fixed.array > 0), fixed.grid)
    motions = {f", moved {amount} {kind}": (kind, amount) for kind, amount in MOTIONS} if rng else {}
    for name, volume in volumes.items():
        for axes in ((), LEFT_RIGHT, *OTHER_FLIPS):
            what, image = ", ".join(SIDES[axis] for axis in axes) or "as they are", flipped(volume, axes)
            sides = tuple(SIDES[axis] for axis in axes)

            def add(row: str, seen: dict[str, tuple[str, ...]], sides: tuple[str, ...] = sides) -> None:
                found.setdefault(row, []).append((bool(seen), tuple(seen.values()) == ((sides,) if sides else ())))

            add(what, mirrored(fixed, {name: image}))
            add(f"{what}, inside one mask", mirrored(fixed, {name: cut(image, mask)}, mask))
            for how, (kind, amount) in motions.items():
                direction = rng.normal(size=3) if rng else np.zeros(3)
                other, _ = moved(image, kind, amount, direction / np.linalg.norm(direction))
                add(what + how, mirrored(fixed, {name: other}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--moved", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mirrored", action="store_true")
    given = parser.parse_args()
    found: dict[str, list[tuple[Displacement, float]]] = {}
    cases = [case for folder in given.folders for case in find_cases(folder).cases if not case.missing]
    noticed: dict[str, list[tuple[bool, bool]]] = {}
    for number, case in enumerate(cases):
        rng = np.random.default_rng(given.seed + number) if number < given.moved else None
        if given.mirrored:
            look_for_flips(case, rng, noticed)
        else:
            look(case, rng, found)
    if given.mirrored:
        counts = [(what, *map(str, (len(all_), *np.sum(all_, axis=0)))) for what, all_ in noticed.items()]
        print(text_table([("", "modalities", "taken for flipped", "judged rightly"), *counts]))
        return
    rows = [("", "modalities", "noticed", "mm, median", "said of true mm: least, median, most")]
    moved_ones = [one for name, all_ in found.items() if name != "as they are" for one in all_]
    for name, all_ in {**found, "all that were moved": moved_ones}.items():
        if not all_:
            continue
        median = f"{np.median([one.mean_mm for one, _ in all_]):.1f}"
        ratios = [one.mean_mm / truly for one, truly in all_ if one.is_significant and np.isfinite(truly)]
        span = f"{min(ratios):.2f}, {np.median(ratios):.2f}, {max(ratios):.2f}" if ratios else ""
        rows.append((name, str(len(all_)), str(sum(one.is_significant for one, _ in all_)), median, span))
    print(text_table(rows))


if __name__ == "__main__":
    main()
