"""What corrections gain: Dice on held-out patients over the number of cases that an expert corrected.

A model is trained on a few cases; it segments others that it has not seen, whose expert labels stand for corrections.
From that same model each number of corrections is learned anew, with the first cases mixed in.

    python benchmarks/corrections.py DATA OUT [--base 4 --corrections 1 3 5 --steps 400 --more-steps 100 --preset small
                                               --channels 8 16 32 64 128 --patch 48 --spacing 2 --threads 1]

``DATA`` holds cases and a ``splits.json`` (``pool``, ``validation``). An interrupted call continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from voxmmsd.config import make_config
from voxmmsd.corrections.propose import retune
from voxmmsd.corrections.verdict import COMPARISON
from voxmmsd.data.cases import Case, find_cases, read_case
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.store import prepare_cases
from voxmmsd.data.volume import Volume
from voxmmsd.files import write_json_atomic
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.predict import predict
from voxmmsd.library import HOLD_OUT, TRAINING, Library, create_library, is_library, open_library
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.models.package import ModelPackage, read_package
from voxmmsd.training.finetune import finetune
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.verbs.finetune import configured


def main() -> None:
    """Run and print the curve."""
    options = _arguments()
    cases = {case.id: case for case in find_cases(options.data).cases}
    splits = json.loads((options.data / "splits.json").read_text(encoding="utf-8"))
    pool, judges = splits["pool"], splits["validation"]
    base, chooser, rest = pool[: options.base], pool[-1], pool[options.base : -1]
    if max(options.corrections) > len(rest):
        raise SystemExit(f"only {len(rest)} cases are left to correct")
    earlier = _prepared(options, [cases[case_id] for case_id in (*base, chooser)], "earlier")
    first = _trained(options, earlier, base, chooser)
    library = _library(options.out / "library", [cases[case_id] for case_id in judges])
    learned = _prepared(options, [cases[case_id] for case_id in base], "learned")
    for count in sorted(options.corrections):
        for case_id in rest[:count]:
            _correct(library, cases[case_id], first)
        run = options.out / f"{count}-corrections"
        given = _given(options, run, options.more_steps) | {"folders": (str(library.folder), str(learned))}
        retune(configured({**given, "start": str(first.folder)}), library)
        _print(count, json.loads((run / COMPARISON).read_text(encoding="utf-8")))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=int, default=4, help="cases that the first model learns from")
    parser.add_argument("--corrections", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--steps", type=int, default=400, help="of the first model")
    parser.add_argument("--more-steps", type=int, default=100, help="on the corrections")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--channels", type=int, nargs="+", help="default: the preset's")
    parser.add_argument("--patch", type=int, help="default: the preset's")
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size in mm that the models see")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


def _given(options: argparse.Namespace, run: Path, steps: int) -> dict:
    given = {
        "run": str(run), "preset": options.preset, "steps": steps, "validate_every": steps, "device": options.device,
        "store": str(options.out / "store"), "threads": options.threads, "workers": 1,
    }  # fmt: skip
    chosen = {"channels": options.channels, "patch": options.patch}
    return given | {name: value for name, value in chosen.items() if value is not None}


def _prepared(options: argparse.Namespace, cases: Sequence[Case], name: str) -> Path:
    """A store of its own for cases that go together."""
    result = prepare_cases(cases, options.out / name, PreprocessConfig(spacing_mm=options.spacing), workers=1)
    if result.failures:
        raise SystemExit(str(result.failures))
    return options.out / name


def _trained(options: argparse.Namespace, folder: Path, base: Sequence[str], chooser: str) -> ModelPackage:
    """The first model; its best step is chosen on a case that judges nothing later."""
    splits = options.out / "first-splits.json"
    write_json_atomic(splits, {"train": list(base), "validation": [chooser]})
    given = _given(options, options.out / "first", options.steps) | {
        "folders": (str(folder),), "splits": str(splits), "validate_every": max(1, options.steps // 4),
        "region_dice": 0.0,  # as measured, before it was the default
    }  # fmt: skip
    return read_package(finetune(make_config(FinetuneConfig, given)))


def _library(folder: Path, judges: Sequence[Case]) -> Library:
    library = open_library(folder) if is_library(folder) else create_library(folder, seed=0)
    for case in judges:
        if _add(library, case, HOLD_OUT).accepted is None:
            library.accept(case.id, _truth(case), str(case.schema), drawn_over=())
    return library


def _correct(library: Library, case: Case, model: ModelPackage) -> None:
    """The model's output as the prediction, the expert's label as the correction drawn over it."""
    if _add(library, case, TRAINING).accepted is not None:
        return
    said = predict(read_case(case, with_label=False), model, open_engine(model))
    review = [place.record() for place in said.review]
    library.add_prediction(case.id, Volume(said.label_zyx, said.grid), said.schema.name, model.info.id, review)
    library.accept(case.id, _truth(case), str(case.schema))


def _add(library: Library, case: Case, part: str):
    images = {name: read_volume(source) for name, source in case.modalities.items()}
    return library.add_case(case.id, images, part=part)


def _truth(case: Case) -> Volume:
    read = read_case(case)
    assert read.label_zyx is not None
    return Volume(read.label_zyx, read.image.grid)


def _print(count: int, comparison: dict) -> None:
    regions = ", ".join(f"{key} {old:.3f} -> {new:.3f}" for key, (old, new) in comparison["regions"].items())
    print(f"{count} corrections: {regions}; {comparison['text']}", flush=True)


if __name__ == "__main__":
    main()
