"""How far does a correction carry? Dice over corrected slices and dabs, by simulated readers with fixed rules.

    python benchmarks/refine.py --model MODEL --store DIR --splits FILE [--part test] [--cases 10] [--out FILE.json]

Cases come from a prepared store with labels. Readers, each correcting what its own method shows at that moment:

* slice: the whole plane (axial, or of another --view) with the most wrong voxels gets the expert's labels;
* dab: a ball of 16 mm with one label, where the largest connected error of one label for another is thickest; only
  voxels of that error are painted.

Methods: *carried* (``voxmmsd.refine``); *painted alone*; *fill between slices* (ITK's morphological contour
interpolation between the corrected planes, the prediction outside them; PyPI itk-morphologicalcontourinterpolation);
*grow from seeds* (Slicer's vtkImageGrowCutSegment of slicer-core on FLAIR; seeds are the corrected planes, or the dabs
and, beyond 20 mm of them, the prediction). The last two are left out, with a word, where their package is not
installed; dabs have no *fill between slices*. *elsewhere*: of the voxels that carrying changed
outside the edits, the share that were right before and are wrong now.

``--pyramid`` asks what the features are worth: the pyramid of another network (WEIGHTS.safetensors, which takes torch),
of an untrained one (random) or none at all, beside the same logits and images.
``--figure FILE.png RESULTS.json...`` draws what ``--out`` wrote, a row for each file, and measures nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from voxmmsd.data.preprocess import Prepared
from voxmmsd.data.store import PreparedCase, open_store
from voxmmsd.data.volume import Volume, resample
from voxmmsd.evaluation.pictures import LINES, save_figure
from voxmmsd.labels import CARRIED, LabelSchema, schema_named
from voxmmsd.models.package import WEIGHTS, ModelPackage
from voxmmsd.models.registry import resolve_model
from voxmmsd.refine.carry import CarrySettings, refine
from voxmmsd.refine.evidence import Evidence, Plane, find_evidence
from voxmmsd.refine.features import LEVELS, CaseFeatures, compute_features
from voxmmsd.refine.fitting import FitSettings
from voxmmsd.refine.kept import read_features, write_features

SLICES, DABS, DAB_MM = (1, 2, 3, 6), (1, 3, 5, 10), 16.0
SEED_MM = 20.0  # a dab alone is no seed against another label; the prediction nearer than this is decided anew
VIEWS = ("axial", "coronal", "sagittal")  # normals along z, y and x of a prepared case
Method = Callable[["Case", np.ndarray, tuple[Plane, ...]], np.ndarray]


@dataclasses.dataclass
class Case:
    """A case of the store with its features; ``settings``: how edits are carried; ``axis``: normal of the planes."""

    entry: PreparedCase
    schema: LabelSchema
    features: CaseFeatures
    settings: CarrySettings
    axis: int = 0

    def __post_init__(self) -> None:
        self.truth = np.asarray(self.entry.label())
        said = np.where(self.features.image_czyx.any(0), self.features.logits_czyx.argmax(0), 0).astype(np.uint8)
        self.predicted = resample(Volume(said, self.features.grid), self.entry.grid, order=0).array
        self.seconds: list[float] = []

    def dice(self, label: np.ndarray) -> list[float]:
        """Of each region; nan where the expert has none of it."""
        found = []
        for region in self.schema.regions:
            indices = self.schema.region_indices(region)
            mine, theirs = np.isin(label, indices), np.isin(self.truth, indices)
            found.append(
                2 * float((mine & theirs).sum()) / float(mine.sum() + theirs.sum()) if theirs.any() else np.nan
            )
        return found

    def carry(self, evidence: Evidence) -> np.ndarray:
        started = time.perf_counter()
        refined = refine(self.features, evidence, self.schema, settings=self.settings)
        self.seconds.append(time.perf_counter() - started)
        changed = refined.origin_zyx == CARRIED
        right = changed & (self.predicted == self.truth) & (refined.label_zyx != self.truth)
        self.spoiled = float(right.sum()) / max(1, int(changed.sum()))
        return refined.label_zyx


def worst_plane(label: np.ndarray, truth: np.ndarray, axis: int) -> Plane:
    others = tuple({0, 1, 2} - {axis})
    return Plane(axis, int((label != truth).sum(axis=others).argmax()))


def slices(case: Case, method: Method) -> dict[int, list[float]]:
    """Dice after each number of corrected planes; the reader looks at what the method shows."""
    painted, planes, shown = case.predicted.copy(), [], case.predicted
    found = {0: case.dice(shown)}
    for count in range(1, max(SLICES) + 1):
        plane = worst_plane(shown, case.truth, case.axis)
        planes.append(plane)
        plane.of(painted)[...] = plane.of(case.truth)
        if count in SLICES or method in (carried, painted_alone):
            shown = method(case, painted, tuple(planes))
        if count in SLICES:
            found[count] = case.dice(shown)
    return found


def carried(case: Case, painted: np.ndarray, planes: tuple[Plane, ...]) -> np.ndarray:
    if (painted == case.predicted).all():
        return painted
    return case.carry(find_evidence(case.predicted, [painted], case.entry.grid, reviewed=planes))


def painted_alone(case: Case, painted: np.ndarray, planes: tuple[Plane, ...]) -> np.ndarray:
    return painted.copy()


def fill_between(case: Case, painted: np.ndarray, planes: tuple[Plane, ...]) -> np.ndarray:
    """Between the outermost corrected planes what ITK interpolates, the prediction outside them."""
    import itk

    sparse = np.zeros_like(painted)
    for plane in planes:
        plane.of(sparse)[...] = plane.of(painted)
    axis = 2 - case.axis  # ITK counts x, y, z
    filled = itk.array_from_image(itk.morphological_contour_interpolator(itk.image_from_array(sparse), axis=axis))
    result = painted.copy()
    for index in range(min(planes).index + 1, max(planes).index):
        between = Plane(case.axis, index)
        if between not in planes:
            between.of(result)[...] = between.of(filled)
    return result


def grow_from_seeds(case: Case, painted: np.ndarray, planes: tuple[Plane, ...]) -> np.ndarray:
    """Tissue of the corrected planes, healthy one too, is the seed."""
    seeded = np.zeros(painted.shape, bool)
    for plane in planes:
        plane.of(seeded)[...] = True
    return _grown(case, painted, seeded)


def grow_from_dabs(case: Case, painted: np.ndarray, dabbed: np.ndarray) -> np.ndarray:
    """The dabs, and the prediction beyond SEED_MM of all of them, are the seeds."""
    apart = ndimage.distance_transform_edt(~dabbed, sampling=case.entry.grid.spacing_mm_zyx)
    return _grown(case, painted, dabbed | (apart > SEED_MM))


def _grown(case: Case, painted: np.ndarray, seeded: np.ndarray) -> np.ndarray:
    """Slicer's grow-cut on FLAIR, from the labels of what is seeded inside the tissue."""
    from slicer_core import vtkImageGrowCutSegment
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = np.asarray(case.entry.image())
    tissue = image.any(axis=0)
    seeds = np.where(seeded & tissue, painted + 1, 0)
    grow = vtkImageGrowCutSegment()
    for give, array in (
        (grow.SetIntensityVolume, image[3].astype(np.int16)),
        (grow.SetSeedLabelVolume, seeds.astype(np.uint8)),
        (grow.SetMaskVolume, np.where(tissue, 0, 1).astype(np.uint8)),
    ):
        give(_as_vtk(array))
    grow.Update()
    grown = vtk_to_numpy(grow.GetOutput().GetPointData().GetScalars()).reshape(painted.shape)
    return np.where(tissue & (grown > 0), grown.astype(int) - 1, 0).astype(np.uint8)


def _as_vtk(array_zyx: np.ndarray) -> object:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*array_zyx.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(array_zyx.ravel(), deep=True))
    return image


def dab(case: Case, shown: np.ndarray) -> tuple[np.ndarray, int]:
    """Where the next dab lies, bool, and the label that it paints."""
    where = np.zeros(shown.shape, bool)
    if not (shown != case.truth).any():
        return where, 0
    (box,) = ndimage.find_objects((shown != case.truth).astype(np.uint8))
    mine, theirs = shown[box], case.truth[box]
    largest: tuple[int, np.ndarray, int] = (0, where[box], 0)
    for said in range(case.schema.class_count):
        for true in set(range(case.schema.class_count)) - {said}:
            numbered, count = ndimage.label((mine == said) & (theirs == true))
            sizes = np.bincount(numbered.ravel(), minlength=2)
            sizes[0] = 0
            if count and sizes.max() > largest[0]:
                largest = (int(sizes.max()), numbered == sizes.argmax(), true)
    _, error, true = largest
    depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1, 1:-1]
    center = np.unravel_index(depth.argmax(), depth.shape)
    apart = np.indices(error.shape) - np.array(center)[:, None, None, None]
    mm = np.asarray(case.entry.grid.spacing_mm_zyx)[:, None, None, None]
    where[box] = error & (((apart * mm) ** 2).sum(axis=0) <= (DAB_MM / 2) ** 2)
    return where, true


def dabs(case: Case, name: str) -> dict[int, list[float]]:
    """Dice after each number of dabs by a method's name; the reader looks at what the method shows."""
    painted, shown = case.predicted.copy(), case.predicted
    found = {0: case.dice(shown)}
    origin = np.zeros_like(painted)
    for count in range(1, max(DABS) + 1):
        where, label = dab(case, shown)
        painted[where] = label
        origin[where] = 1
        if name == "carried":
            shown = case.carry(Evidence(case.entry.grid, painted, origin, (), int(where.sum())))
        else:
            shown = grow_from_dabs(case, painted, origin > 0) if name == "grow from seeds" else painted.copy()
        if count in DABS:
            found[count] = case.dice(shown)
    return found


METHODS = {
    "carried": carried,
    "painted alone": painted_alone,
    "fill between slices": fill_between,
    "grow from seeds": grow_from_seeds,
}
_NEEDS = {"fill between slices": "itk", "grow from seeds": "slicer_core"}


def methods_here(wanted: list[str]) -> dict[str, Method]:
    """Those of the wanted whose package is installed."""
    there = {}
    for name, method in ((name, METHODS[name]) for name in wanted):
        try:
            if name in _NEEDS:
                __import__(_NEEDS[name])
            there[name] = method
        except ImportError:
            print(f"{name}: left out, {_NEEDS[name]} is not installed", file=sys.stderr)
    return there


def other_pyramid(features: CaseFeatures, package: ModelPackage, weights: str) -> tuple[np.ndarray, ...]:
    """Of another network of the package's widths: ``none``, ``random`` (seed 0) or a file of pre-trained weights."""
    if weights == "none":
        return ()
    import torch
    from safetensors.torch import load_file

    from voxmmsd.networks.unet3d import UNet3d

    torch.manual_seed(0)
    unet = UNet3d(package.info.network).eval()
    if weights != "random":
        prefix = "unet."
        tensors = {n[len(prefix) :]: t.float() for n, t in load_file(weights).items() if n.startswith(prefix)}
        unet.load_state_dict(tensors)
    image = features.image_czyx * features.scale[:, None, None, None]
    with torch.inference_mode():
        pyramid = unet(torch.from_numpy(image[None].astype(np.float32)))
    return tuple(level[0].numpy().clip(-6e4, 6e4).astype(np.float16) for level in pyramid[:LEVELS])


def load(entry: PreparedCase, package: ModelPackage, keep: Path | None, settings: CarrySettings) -> Case:
    schema = schema_named(package.info.schema)
    file = keep / f"{package.info.id}-{entry.id}.npz" if keep else None
    inputs = {"image": entry.image_hash}
    features = read_features(file, package.info.files[WEIGHTS], inputs) if file and file.exists() else None
    if features is None:
        prepared = Prepared(np.asarray(entry.image()), entry.grid, entry.present)
        features = compute_features(prepared, package)
        if file:
            write_features(file, features, inputs)
    return Case(entry.mapped_onto(schema), schema, features, settings)


def table(rows: dict[str, dict[str, dict[int, list[float]]]], regions: list[str]) -> str:
    """Means over the cases: a line per method and number of edits."""
    lines = []
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    for name in names:
        counts = next(iter(rows.values()))[name]
        for count in counts:
            mean = np.nanmean([found[name][count] for found in rows.values()], axis=0)
            lines.append(f"| {name} | {count} | " + " | ".join(f"{value:.3f}" for value in mean) + " |")
    head = f"| method | edits | {' | '.join(regions)} |\n|---|---|{'---|' * len(regions)}"
    return "\n".join([head, *lines])


def figure(files: list[Path], file: Path) -> None:
    """Mean Dice of each region over the corrected slices, a row for each file of results."""
    names = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    drawn = Figure((9.6, 2.9 * len(names)), layout="constrained")
    for row, (name, rows) in zip(drawn.subplots(len(names), 3, squeeze=False), names.items(), strict=True):
        methods = [one for one in next(iter(rows.values())) if one.startswith("slice, ")]
        for panel, region, title in zip(row, range(3), ("WT", "TC", "ET"), strict=True):
            for method, color in zip(methods, LINES, strict=False):
                counts = list(next(iter(rows.values()))[method])
                dice = [np.nanmean([found[method][count][region] for found in rows.values()]) for count in counts]
                panel.plot([int(c) for c in counts], dice, "o-", color=color, label=method.removeprefix("slice, "))
            panel.set(title=f"{title}, {len(rows)} cases, {name}", xlabel="corrected slices", ylabel="mean Dice")
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(alpha=0.3)
        row[0].legend(frameon=False, fontsize=8)
    save_figure(drawn, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if "--figure" in sys.argv:
        parser.add_argument("--figure", type=Path, required=True)
        parser.add_argument("results", type=Path, nargs="+")
        drawing = parser.parse_args()
        figure(drawing.results, drawing.figure)
        return
    parser.add_argument("--model", required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--part", default="test")
    parser.add_argument("--cases", type=int, default=0, help="how many of them, by id (0: all)")
    parser.add_argument("--only", nargs="+", default=[], help="ids")
    parser.add_argument("--edits", nargs="+", default=["slices", "dabs"], choices=["slices", "dabs"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--view", default="axial", choices=VIEWS, help="of the corrected slices")
    parser.add_argument("--pyramid", default="", help="another network's features: WEIGHTS.safetensors, random, none")
    parser.add_argument("--features", type=Path, help="folder to keep features in")
    parser.add_argument("--fit", nargs="+", default=[], help="such as penalty=10 others_weight=0.3")
    parser.add_argument("--carry", nargs="+", default=[], help="such as reach_mm=40")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    package = resolve_model(given.model)
    fitting = dataclasses.replace(FitSettings(), **_numbers(given.fit))
    settings = dataclasses.replace(CarrySettings(), fitting=fitting, **_numbers(given.carry))
    part = json.loads(given.splits.read_text(encoding="utf-8"))[given.part]
    learned = {one for name in ("train", "validation") for one in package.info.training["cases"].get(name, ())}
    chosen = [e for e in open_store(given.store) if e.id in (given.only or part) and e.id not in learned]
    rows: dict[str, dict[str, dict[int, list[float]]]] = {}
    methods = methods_here(given.methods)
    for entry in chosen[: given.cases or None]:
        case = load(entry, package, given.features, settings)
        case.axis = VIEWS.index(given.view)
        if given.pyramid:
            pyramid = other_pyramid(case.features, package, given.pyramid)
            case.features = dataclasses.replace(case.features, pyramid=pyramid)
        found = rows[entry.id] = {}
        if "slices" in given.edits:
            found |= {f"slice, {name}": slices(case, method) for name, method in methods.items()}
        if "dabs" in given.edits:
            found |= {f"dab, {name}": dabs(case, name) for name in methods if name != "fill between slices"}
        spent = f"{np.mean(case.seconds):.1f} s a round, {case.spoiled:.3f} elsewhere" if case.seconds else ""
        print(f"{entry.id}: {spent}", file=sys.stderr, flush=True)
        if given.out:
            given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"{len(rows)} cases of {given.part}, {package.info.id}")
    print(table(rows, [region.key for region in schema_named(package.info.schema).regions]))


def _numbers(texts: list[str]) -> dict[str, float]:
    pairs = (text.split("=") for text in texts)
    return {name: int(value) if value.isdigit() else float(value) for name, value in pairs}


if __name__ == "__main__":
    main()
