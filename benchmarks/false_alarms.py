"""What ``segment`` says of tumors and of brains without one: findings of the results, and false alarms.

    python benchmarks/false_alarms.py FOLDER... --out FILE.jsonl [--without-tumor] [--leave-out t1c ...]
    python benchmarks/false_alarms.py --phantoms 3 --out FILE.jsonl
    python benchmarks/false_alarms.py --table FILE.jsonl...

Each labeled case is segmented as it is, and, where its tumor keeps to one side, once more with that side replaced by
the other's mirror image (``healthy_halves.py``). ``--without-tumor``: no case of the folders has a tumor, as in
patients with multiple sclerosis. ``--phantoms``: synthetic brains without a tumor. The images are not checked, as
``voxmmsd check`` does that: a case takes a few CPU seconds. One line of JSON per result; results that FILE holds are
not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.healthy_halves import mirrored_half
from voxmmsd.data.cases import Case, find_cases
from voxmmsd.data.reading import CaseVolumes, read_case
from voxmmsd.data.volume import Volume
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.plausibility import check_result, extent_of
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.labels import MODALITIES
from voxmmsd.models.registry import resolve_model
from voxmmsd.phantom import make_phantom, write_phantom
from voxmmsd.records.findings import BLOCKING, WARNING
from voxmmsd.wording import text_table

TUMOR, MIRRORED, NONE, PHANTOM = "tumor", "mirrored half", "without tumor", "phantom without tumor"
_SIDE = 144  # voxels of 1 mm along each side of a phantom: a brain of 850 to 960 ml


def results(given: argparse.Namespace, done: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """A record of each result: what it is of, how much is called tumor, and the findings."""
    package = resolve_model(given.model)
    engine = open_engine(package, "onnx", "cpu", given.threads)
    for case, kinds in cases(given):
        open_kinds = [kind for kind in kinds if (case.id, kind) not in done]
        if not open_kinds:
            continue
        whole = without(read_case(case, with_label=MIRRORED in kinds), given.leave_out)
        for kind in open_kinds:
            volumes = mirrored(whole) if kind == MIRRORED else whole
            if volumes is not None:
                yield {"case": case.id, "kind": kind, **measured(predict(volumes, package, engine))}


def cases(given: argparse.Namespace) -> Iterator[tuple[Case, list[str]]]:
    """The cases and what is to be seen of each."""
    for folder in given.folders:
        for case in find_cases(folder).cases:
            yield case, [NONE] if given.without_tumor else [TUMOR, MIRRORED] if case.label else []
    for seed in range(given.phantoms):
        with TemporaryDirectory() as folder:
            write_phantom(make_phantom(seed, (_SIDE, _SIDE, _SIDE), tumor=False), Path(folder), f"phantom-{seed}")
            yield from ((case, [PHANTOM]) for case in find_cases(Path(folder)).cases)


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


def measured(prediction: Prediction) -> dict[str, Any]:
    prepared = prediction.prepared
    brain = (prepared.image_czyx != 0).any(axis=0)
    extent = extent_of(prediction.prepared_label_zyx, brain, prepared.grid.voxel_volume_ml)
    found = check_result(prediction)
    return {
        **asdict(extent),
        "largest": asdict(prediction.largest_part),
        "withheld": [finding.kind for finding in found if finding.severity == BLOCKING],
        "doubtful": [finding.kind for finding in found if finding.severity == WARNING],
    }


def table(records: Sequence[dict[str, Any]]) -> str:
    head = ("", "results", "withheld", "doubtful", "ml: median, most", "share", "components", "probability", "of core")
    rows = [head]
    for kind in (TUMOR, MIRRORED, NONE, PHANTOM):
        if not (of_kind := [record for record in records if record["kind"] == kind]):
            continue
        ml = [record["tumor_ml"] for record in of_kind]
        found = [record["largest"] for record in of_kind if record["tumor_ml"]]
        rows.append((
            kind, str(len(of_kind)), str(sum(bool(r["withheld"]) for r in of_kind)),
            str(sum(bool(r["doubtful"]) and not r["withheld"] for r in of_kind)),
            f"{np.median(ml):.3g}, {max(ml):.3g}", f"{max(r['tumor_ml'] / r['brain_ml'] for r in of_kind):.3f}",
            str(max(r["components"] for r in of_kind)),
            _span([part["probability"] for part in found]),
            _span([part["core"] for part in found if part["core"] is not None]),
        ))  # fmt: skip
    return text_table(rows)


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}" if values else "-"


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--leave-out", nargs="+", default=[], choices=MODALITIES)
    parser.add_argument("--without-tumor", action="store_true")
    parser.add_argument("--phantoms", type=int, default=0)
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
