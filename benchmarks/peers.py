"""The same labeled cases given to a peer that installs from PyPI, for a given time.

    python benchmarks/peers.py segresnet runs/store/gli runs/store/ssa --splits ../shared/data/splits.json --minutes 60
    python benchmarks/peers.py nnunet runs/store/gli runs/store/ssa --splits ../shared/data/splits.json --minutes 60
    python benchmarks/peers.py ours runs/store/gli runs/store/ssa --splits ../shared/data/splits.json --model MODEL

Both sides get the same training cases and may take the same time on the same machine: seconds of a GPU, or of a CPU
core, however busy the machine is. Then both segment the cases of ``--part``, which this package scores. How each peer
is taught: ``peer_segresnet.py``, ``peer_nnunet.py``. ``ours`` is a model of ``voxmmsd finetune``, which is only scored.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from voxmmsd.compute.devices import choose_device
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import PreparedCase, open_store
from voxmmsd.evaluation.scores import counted_dice, score_case
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.labels import LabelSchema, schema_named
from voxmmsd.models.registry import resolve_model
from voxmmsd.training.validation import segment_window
from voxmmsd.wording import text_table

Segment = Callable[[PreparedCase], np.ndarray]
"""From a case to its class indices ``(z, y, x)``."""


def main() -> None:
    options = _options()
    device = choose_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    schema = schema_named(options.target_schema)
    entries = [entry.mapped_onto(schema) for store in options.stores for entry in open_store(Path(store))]
    splits = read_splits(Path(options.splits), entries)
    held = [entry for entry in entries if entry.id in getattr(splits, options.part)]
    if options.peer == "ours":
        print(report(_ours(options), held, schema))
        return
    chosen = _chosen(options, splits.train)
    training = [entry for entry in entries if entry.id in chosen]
    if options.peer == "segresnet":
        from peer_segresnet import teach
    else:
        from peer_nnunet import teach
    clock = _core_seconds if device.type == "cpu" else time.monotonic
    segment, steps = teach(training, schema, options, device, clock)
    print(f"{options.peer}: {len(training)} cases, {steps} steps in {options.minutes:g} min on {device}")
    print(report(segment, held, schema))


def report(segment: Segment, entries: Sequence[PreparedCase], schema: LabelSchema) -> str:
    """Mean Dice per data set and region, over the cases that have it, enhancing tumor above 0.5 ml."""
    dice: dict[str, list[list[float]]] = defaultdict(list)
    regions = [region.key for region in schema.regions]
    for entry in entries:
        scores = score_case(entry.id, np.asarray(entry.label()), segment(entry), schema, entry.grid)
        dice[entry.folder.name].append([counted_dice(scores, key) for key in regions])
    means = [[name, str(len(rows)), *(f"{x:.3f}" for x in np.nanmean(rows, axis=0))] for name, rows in dice.items()]
    return text_table([["data set", "cases", *regions], *means])


def _ours(options: argparse.Namespace) -> Segment:
    package = resolve_model(options.model)
    engine = open_engine(package, "torch", options.device, options.threads)
    window = segment_window(options.patch)
    return lambda entry: predict_probabilities(np.asarray(entry.image()), engine, window).argmax(axis=0)


def _core_seconds() -> float:
    """Seconds that each of this process's threads has computed."""
    return time.process_time() / torch.get_num_threads()


def _chosen(options: argparse.Namespace, pool: tuple[str, ...]) -> list[str]:
    """The cases of a draw of ``voxmmsd compare``, from its run, or all of the pool."""
    if options.draw_file:
        return list(json.loads(Path(options.draw_file).read_text(encoding="utf-8"))["train"])
    order = np.random.default_rng([0, 0xD2A3, options.draw]).permutation(len(pool))
    return sorted(pool[number] for number in order[: options.cases or len(pool)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("segresnet", "nnunet", "ours"))
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--splits", required=True)
    parser.add_argument("--target-schema", default="brats-2021")
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--cases", type=int, default=0, help="labeled cases (0: all training cases)")
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--draw-file", default="", help="RUN/draws/N-cases-draw-D.json of a comparison: the same cases")
    parser.add_argument("--model", default="", help="of ours: a package, or its name")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--patch", type=int, default=64, help="of SegResNet and ours; nnU-Net plans its own")
    parser.add_argument("--batch", type=int, default=1, help="of SegResNet")
    parser.add_argument("--memory", type=float, default=8.0, help="GiB of a GPU that nnU-Net plans for")
    parser.add_argument("--folder", type=Path, default=Path("runs/nnunet"), help="nnU-Net's folders")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
