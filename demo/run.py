"""The demo: from nothing to a scored segmentation on synthetic patients, by the verbs a user would call.

Prints each command before running it and ends with one self-contained report. Usage: python demo/run.py OUT
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.preprocess import Preprocess
from voxmmsd.data.reading import read_case
from voxmmsd.data.volume import Volume, canonical, resample
from voxmmsd.evaluation.evaluate import evaluate_folders
from voxmmsd.evaluation.html import Section, write_report
from voxmmsd.evaluation.pictures import curves_picture, overlay_picture
from voxmmsd.evaluation.tables import score_rows
from voxmmsd.labels import indices_from_values
from voxmmsd.runs.curves import read_curves

MARK = ".demo"  # in the folder that a demo has made
TRAINING = ("--preset", "tiny", "--channels", "8", "16", "32", "64", "--patch", "48", "--steps", "300",
            "--validate-every", "60", "--modality-dropout", "0.1")  # fmt: skip


def main(out: Path) -> None:
    """Make everything under ``out``, which an earlier demo, also an interrupted one, may have filled."""
    started = time.monotonic()
    if (out / MARK).exists() or not out.exists() or not any(out.iterdir()):
        shutil.rmtree(out, ignore_errors=True)
    else:
        sys.exit(f"{out}: is not empty, and not of an earlier demo; name another folder")
    out.mkdir(parents=True)
    (out / MARK).touch()
    patients, new, run, results = out / "patients", out / "new-patients", out / "run", out / "results"
    commands = [
        ("phantom", patients, "--count", 6, "--shape", 64),
        ("cases", patients),
        ("finetune", patients, "--run", run, *TRAINING),
        ("phantom", new, "--count", 3, "--shape", 64, "--seed", 1),
        ("segment", new, "--out", results, "--model", run),
        ("evaluate", results, new, "--out", out / "scores"),
    ]
    for words in commands:
        call(*map(str, words))
    report = summarize(out, [" ".join(map(str, words)) for words in commands], time.monotonic() - started)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open the report: {report.resolve()}")


def call(*words: str) -> None:
    print(f"\n$ voxmmsd {' '.join(words)}", flush=True)
    try:
        code = subprocess.run([sys.executable, "-m", "voxmmsd", *words], check=False).returncode
    except KeyboardInterrupt:
        code = 130
    if code:  # the command has said why
        sys.exit(code)


def summarize(out: Path, commands: list[str], seconds: float) -> Path:
    """The report: what was done, the curves, each new patient with the expert's outline, the scores."""
    found = evaluate_folders(out / "results", out / "new-patients")
    curves = curves_picture(read_curves(out / "run"), out / "curves.png")
    pictures = [picture(case, out) for case in find_cases(out / "new-patients").cases]
    size = json.loads((out / "run" / "model" / "model.json").read_text(encoding="utf-8"))["network"]["channels"]
    sections = [
        Section("What was done", [
            "Synthetic patients with exactly known tumors were written. A small network "
            f"({' - '.join(map(str, size))} channels) was trained on five of them from scratch and validated on the "
            "sixth. Three patients that it had never seen were segmented and scored. Real models are trained longer, "
            "on real scans.",
            f"It took {seconds:.0f} s on this machine.",
        ], preformatted="\n".join(f"voxmmsd {command}" for command in commands)),
        Section("Training", pictures=[(curves, "Loss of the training patches, and Dice on the validation patient")]),
        Section("New patients", pictures=pictures),
        Section("Scores", ["Regions first (WT whole tumor, TC core, ET enhancing), then labels."],
                table=score_rows(found.cases)),
    ]  # fmt: skip
    return write_report(out / "report.html", "SlicerVoxMMSD demo", sections)


def picture(case, out: Path) -> tuple[Path, str]:
    """The overlay of a new patient with the outline of the known tumor."""
    volumes = read_case(case)
    prepared = Preprocess().apply(volumes)
    result = read_volume(Source(out / "results" / f"{case.id}-voxmmsd.nii.gz"))
    indices = Volume(indices_from_values(result.array, volumes.schema, case.id), result.grid)
    predicted = resample(canonical(indices), prepared.grid, order=0).array
    file = overlay_picture(
        prepared.image_czyx, prepared.present, predicted, volumes.schema, prepared.grid, out / f"{case.id}.png",
        title=case.id, reference_label_zyx=prepared.label_zyx,
    )  # fmt: skip
    return file, f"{case.id}: colors: segmentation, outlines: expert"


if __name__ == "__main__":  # preparation spawns processes that import this file again
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output"))
