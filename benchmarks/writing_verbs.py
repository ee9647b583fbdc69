"""Every verb that writes, ready to be called in a place of its own: what it needs there, and its arguments."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Core"))

SMALL = ["--preset", "tiny", "--channels", "4", "8", "--steps", "2", "--checkpoint-every", "1", "--workers", "1",
         "--threads", "1", "--device", "cpu"]  # fmt: skip
HEAVY = (
    "training.finetune",
    "training.pretrain",
    "inference.segment",
    "evaluation.evaluate",
    "models.export_bundle",
    "refine.verb",
    "reporting.case_report",
    "reporting.follow_up_page",
    "reporting.registered_images",
    "dicom_export.export",
)


def _nothing(place: Path) -> None:
    pass


@dataclass(frozen=True)
class WritingVerb:
    """``arguments(place)``: a call that writes under ``place`` alone, once ``arrange(place)`` was called."""

    arguments: Callable[[Path], list[str]]
    arrange: Callable[[Path], None] = _nothing


def writing_verbs(source: Path) -> dict[str, WritingVerb]:
    """By name; ``source`` is what ``prepared`` made."""
    cases, model, library = str(source / "cases"), str(source / "toy"), source / "library"
    segment = ["segment", cases, "--model", model, "--engine", "onnx", "--threads", "1", "--out"]

    edited = str(source / "edited.nii.gz")

    def refine(place: Path) -> list[str]:
        result = next((source / "seen").glob("*-voxmmsd.nii.gz"))
        return ["refine", str(result), "--edited", edited, "--out", str(place / "out"), "--threads", "1",
                "--features", str(place / "features.npz")]  # fmt: skip

    def report(place: Path) -> list[str]:
        result = next((source / "seen").glob("*-voxmmsd.nii.gz"))
        return ["report", str(result), "--out", str(place / "out")]

    def follow(place: Path) -> list[str]:
        results = sorted(map(str, (source / "visits" / "results").glob("*-voxmmsd.nii.gz")))
        images = sorted(map(str, (source / "visits" / "cases").iterdir()))
        return ["follow", *results, "--case", *images, "--days", "0", "30", "--registered",
                "--out", str(place / "out")]  # fmt: skip

    def exported_dicom(place: Path) -> list[str]:
        result = next((source / "in-dicom").glob("*-voxmmsd.nii.gz"))
        return ["export-dicom", str(result), "--source", str(source / "series"), "--out", str(place / "dicom")]

    def with_library(place: Path) -> None:
        shutil.copytree(library, place / "library")

    def accepted(place: Path) -> list[str]:
        return ["library", "accept", str(place / "library"), "--case", "case-000"]

    def training(verb: str, *options: str) -> WritingVerb:
        return WritingVerb(lambda place: [verb, cases, "--run", str(place / "run"), *SMALL, *options])

    def exported(form: str, name: str) -> WritingVerb:
        return WritingVerb(lambda place: ["export", model, "--to", form, "--out", str(place / name)])

    def calibrate(place: Path) -> list[str]:
        splits = place / "splits.json"
        splits.write_text(json.dumps({"validation": [file.name for file in Path(cases).iterdir()]}), encoding="utf-8")
        return ["models", "calibrate", str(place / "toy"), "--cases", cases, "--splits", str(splits)]

    def job(place: Path) -> list[str]:
        options = json.dumps({"folders": [cases], "preset": "tiny", "workers": 1})
        (source / "job.json").write_text(options, encoding="utf-8")
        return ["job", "finetune", str(source / "job.json"), "--out", str(place / "job")]

    return {
        "cases --list": WritingVerb(lambda place: ["cases", cases, "--list", str(place / "cases.csv")]),
        "phantom": WritingVerb(lambda place: ["phantom", str(place / "phantoms"), "--count", "1", "--shape", "16"]),
        "prepare": WritingVerb(lambda place: ["prepare", cases, "--store", str(place / "store"), "--workers", "1"]),
        "pretrain": training("pretrain", "--block", "16", "--mask-size", "4", "--pairs", "64", "--candidates", "4096"),
        "finetune": training("finetune", "--patch", "16"),
        "segment": WritingVerb(lambda place: [*segment, str(place / "out"), "--picture", "--uncertainty"]),
        "refine": WritingVerb(refine),
        "report": WritingVerb(report),
        "follow": WritingVerb(follow),
        "export-dicom": WritingVerb(exported_dicom),
        "evaluate": WritingVerb(
            lambda place: ["evaluate", str(source / "results"), cases, "--out", str(place / "scores"), "--workers", "1"]
        ),
        "library add": WritingVerb(lambda place: ["library", "add", str(place / "library"), cases]),
        "library accept": WritingVerb(accepted, with_library),
        "models accept": WritingVerb(lambda place: ["models", "accept", model]),
        "models import": WritingVerb(lambda place: ["models", "import", str(source / "toy.zip")]),
        "models export": WritingVerb(lambda place: ["models", "export", model, "--out", str(place / "model.zip")]),
        "models calibrate": WritingVerb(calibrate, lambda place: shutil.copytree(model, place / "toy")),
        "models average": WritingVerb(
            lambda place: ["models", "average", model, str(source / "sibling"), "--out", str(place / "mean")]
        ),
        "export onnx": exported("onnx", "model.onnx"),
        "export torchscript": exported("torchscript", "model.ts"),
        "export monai-bundle": exported("monai-bundle", "monai"),
        "job": WritingVerb(job),
        "bundle": WritingVerb(
            lambda place: ["bundle", "--package", str(source / "voxmmsd-1.0-py3-none-any.whl"),
                           "--out", str(place / "hospital.zip")]
        ),
    }  # fmt: skip


def prepared(folder: Path) -> Path:
    """Two cases, a model as folder and zip, one of its descent, results to score, two visits, a library with a
    prediction, a wheel without needs, a result and its edited labels, one with its DICOM series.

    What the verbs import is loaded once, here, for the processes that are forked from this one.
    """
    import exported_results
    from corrected_cases import SCHEMA, label_of, library_of
    from handmade_wheels import write_wheel
    from hard_places import CASE, OTHER, Place, pristine
    from toy_models import relabeled_package

    from voxmmsd.models.archive import export_model
    from voxmmsd.models.package import read_package

    place = Place.copied(pristine(folder / "pristine"), folder)
    place.other()
    toy = read_package(place.model_copy())
    export_model(toy, folder / "toy.zip")
    relabeled_package(toy, folder / "sibling", id="sibling-1", parent=toy.info.id)
    (folder / "results").mkdir()
    for case_id in (CASE, OTHER):
        label = folder / "cases" / case_id / f"{case_id}-seg.nii.gz"
        shutil.copy(label, folder / "results" / f"{case_id}-voxmmsd.nii.gz")
    library, made = library_of(folder / "library", count=1)
    library.add_prediction("case-000", label_of(made["case-000"]), SCHEMA, "toy-1")
    write_wheel(folder, "voxmmsd")
    for room in HEAVY:
        import_module(f"voxmmsd.{room}")
    _edited(folder, CASE)
    _visits(folder / "visits")
    exported_results.result(folder / "in-dicom", exported_results.series(folder / "series"))
    return folder


def _visits(folder: Path) -> None:
    """Two visits of a patient whose lesion grew, as results."""
    from reporting.made_visits import write_visit

    for number, radius in enumerate((8, 11)):
        write_visit(folder, f"BraTS-GLI-00007-10{number}", [((15, 5, 8), radius, 3)], spacing_zyx=(4.0, 4.0, 4.0))


def _edited(folder: Path, case_id: str) -> None:
    """``seen``: a result of segment; ``edited.nii.gz``: the same with a square of one slice painted over."""
    import nibabel as nib
    import numpy as np

    from voxmmsd.inference.config import SegmentConfig
    from voxmmsd.inference.segment import segment_cases

    case, seen = folder / "cases" / case_id, folder / "seen"
    segment_cases(SegmentConfig(case=str(case), model=str(folder / "toy"), engine="onnx", threads=1, out=str(seen)))
    image = nib.load(seen / f"{case_id}-voxmmsd.nii.gz")
    labels = np.asarray(image.dataobj).copy()
    labels[8:14, 8:14, 12] = np.where(labels[8:14, 8:14, 12] == 3, 1, 3)
    nib.save(nib.Nifti1Image(labels, image.affine, image.header), folder / "edited.nii.gz")
