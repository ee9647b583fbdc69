"""What ``segment`` says of tumors and of brains without one: findings of the results, and false alarms.

    python benchmarks/false_alarms.py FOLDER... --out FILE.jsonl [--without-tumor] [--leave-out t1c ...]
    python benchmarks/false_alarms.py --table FILE.jsonl...

Each labeled case is segmented as it is, and, where its tumor keeps to one side, once more with that side replaced by
the other's mirror image (``healthy_halves.py``). ``--without-tumor``: no case of the folders has a tumor, as in
patients with multiple sclerosis. One line of JSON per result; results that FILE holds are not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.healthy_halves import mirrored_half
from voxmmsd.data.cases import find_cases
from voxmmsd.data.reading import CaseVolumes, read_case
from voxmmsd.data.volume import Volume
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.plausibility import check_result, extent_of
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.inference.stages import look_first
from voxmmsd.labels import MODALITIES
from voxmmsd.models.registry import resolve_model
from voxmmsd.records.findings import BLOCKING, WARNING, Finding
from voxmmsd.wording import text_table

TUMOR, MIRRORED, NONE = "tumor", "mirrored half", "without tumor"


def results(given: argparse.Namespace, done: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """A record of each result: what it is of, how much is called tumor, and the findings."""
    package = resolve_model(given.model)
    engine = open_engine(package, "onnx", "cpu", given.threads)
    for case in (case for folder in given.folders for case in find_cases(folder).cases):
        kinds = [NONE] if given.without_tumor else [TUMOR, MIRRORED] if case.label else []
        if all((case.id, kind) in done for kind in kinds):
            continue
        whole = without(read_case(case, with_label=not given.without_tumor), given.leave_out)
        for kind in kinds:
            volumes = mirrored(whole) if kind == MIRRORED else whole
            if volumes is not None and (case.id, kind) not in done:
                before = look_first(volumes, package, force=True)
                yield {"case": case.id, "kind": kind, **measured(predict(volumes, package, engine), before)}


def without(volumes: CaseVolumes, modalities: Sequence[str]) -> CaseVolumes:
    """As if these modalities were missing."""
    image = volumes.image.array.copy()
    image[[MODALITIES.index(name) for name in modalities]] = 0
    there = {name: source for name, source in volumes.case.modalities.items() if name not in modalities}
    return replace(
        volumes,
        case=replace(volumes.case, modalities=there),
        image=Volume(image, volumes.image.grid),
        present=tuple(name in there for name in MODALITIES),  # type: ignore[arg-type]
    )


def mirrored(volumes: CaseVolumes) -> CaseVolumes | None:
    """Without its tumor; None if that lies on both sides. The grid's x axis runs from side to side."""
    assert volumes.label_zyx is not None
    healthy = mirrored_half(volumes.image.array, volumes.label_zyx, margin_voxels=0)
    return None if healthy is None else replace(volumes, image=Volume(healthy, volumes.image.grid))


def measured(prediction: Prediction, before: Sequence[Finding]) -> dict[str, Any]:
    prepared = prediction.prepared
    brain = (prepared.image_czyx != 0).any(axis=0)
    extent = extent_of(prediction.prepared_label_zyx, brain, prepared.grid.voxel_volume_ml)
    found = check_result(prediction, before)
    return {
        **asdict(extent),
        "largest": asdict(prediction.largest_part),
        "withheld": [finding.kind for finding in found if finding.severity == BLOCKING],
        "doubtful": [finding.kind for finding in found if finding.severity == WARNING],
    }


def table(records: Sequence[dict[str, Any]]) -> str:
    rows = [("", "results", "withheld", "doubtful", "ml of tumor: median, most", "share", "components", "surest part")]
    for kind in (TUMOR, MIRRORED, NONE):
        if not (of_kind := [record for record in records if record["kind"] == kind]):
            continue
        ml = [record["tumor_ml"] for record in of_kind]
        sure = [record["largest"]["probability"] for record in of_kind if record["tumor_ml"]]
        rows.append((
            kind, str(len(of_kind)), str(sum(bool(r["withheld"]) for r in of_kind)),
            str(sum(bool(r["doubtful"]) and not r["withheld"] for r in of_kind)),
            f"{np.median(ml):.3g}, {max(ml):.3g}", f"{max(r['tumor_ml'] / r['brain_ml'] for r in of_kind):.3f}",
            str(max(r["components"] for r in of_kind)),
            f"{min(sure):.2f} to {max(sure):.2f}" if sure else "-",
        ))  # fmt: skip
    return text_table(rows)


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--leave-out", nargs="+", default=[], choices=MODALITIES)
    parser.add_argument("--without-tumor", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", default=[])
    given = parser.parse_args()
    if given.out:
        done = {(record["case"], record["kind"]) for record in read(given.out)}
        with given.out.open("a", encoding="utf-8") as stream:
            for record in results(given, done):
                stream.write(json.dumps(record) + "\n")
                stream.flush()
    print(table([record for file in (given.table or [given.out]) for record in read(file)]))


if __name__ == "__main__":
    main()
