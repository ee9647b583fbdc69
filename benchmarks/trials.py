"""Recipes of fine-tuning tried at a size that two CPU cores can train, judged on a tumor bank's other half.

    python benchmarks/trials.py benchmarks/trials.toml --run runs/trials --start runs/vox-mmsd/model --bank BANK.npz

Two folds of 50 patients cannot tell recipes apart that differ by a point. The cubes of a bank can: all recipes learn
from the same cases, those that use the bank from half of its patients, and all are compared on the cubes of the other
half, paired by patient. What a cube cannot show, tumor where none is, the validation cases of both groups do.

Some recipes need code that the package does not have (``CHANGES``). Called again, it continues. Name recipes to train
only these; without names all are trained, and compared. With ``--compare`` those that are trained are compared.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceLoss, TverskyLoss
from torch import Tensor, nn
from torch.nn import functional as F
from tumor_cubes import by_patient, cubes, levels, scores, table

from voxmmsd.compute.processes import Processes
from voxmmsd.config import make_config
from voxmmsd.data.store import open_store
from voxmmsd.data.tumor_bank import read_tumor_bank
from voxmmsd.files import sha256_of, write_text_atomic
from voxmmsd.inference.engines import open_engine
from voxmmsd.labels import schema_named
from voxmmsd.losses.segmentation import SMOOTH
from voxmmsd.models.package import ModelPackage, read_package
from voxmmsd.runs import RunLog
from voxmmsd.training.cases import fixed_splits, labeled_entries
from voxmmsd.training.finetune import FineTuning
from voxmmsd.training.loop import run_training
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.wording import text_table

DEEPER = 0.5  # weight of the loss of a level, relative to the next finer one
LEVELS = 2  # below the finest, with a head of their own
MISSED = 0.7  # weight of a missed voxel in the Dice; of a voxel too many: the rest to 1


class WithHeads(FineTuning):
    """A fine-tuning with more heads, which are thrown away at the end."""

    heads: nn.ModuleList

    def add_heads(self, heads: Sequence[nn.Module]) -> None:
        self.heads = nn.ModuleList(heads).to(self.device)
        for rows in (
            [p for p in self.heads.parameters() if p.ndim > 1],
            [p for p in self.heads.parameters() if p.ndim < 2],
        ):
            decay = self.config.weight_decay if rows[0].ndim > 1 else 0.0
            self.optimizer.add_param_group(
                {"params": rows, "weight_decay": decay, "lr_scale": self.recipe.head_lr_scale}
            )

    def losses(self, part: int) -> dict[str, Tensor]:
        if part == 0:
            self._batch = self.sampler.batch(self.step, self.recipe.dropout_share(self.step))
        image, label = (tensor.chunk(self.memory.parts)[part] for tensor in self._batch)
        self.set_batchnorm()
        features = self.network.unet(image.contiguous(memory_format=torch.channels_last_3d))
        loss = self.loss(self.network.head(features[0]), label, self.recipe.class_balance(self.step))
        return {"loss": loss + self.loss_of_heads(features, label)}

    def loss_of_heads(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        return {**super().state(), "heads": self.heads.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.heads.load_state_dict(state["heads"])


class RegionHeads(WithHeads):
    """A sigmoid for each of WT, TC and ET beside the classes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._regions = [self.schema.region_indices(region) for region in self.schema.regions]
        self.add_heads([nn.Conv3d(self.config.channels[0], len(self._regions), 1)])
        self._dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH)

    def loss_of_heads(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        logits = self.heads[0](features[0])
        inside = [torch.isin(label, label.new_tensor(indices)) for indices in self._regions]
        truth = torch.stack(inside, dim=1).float()
        return self._dice(logits, truth) + F.binary_cross_entropy_with_logits(logits, truth)


class DeepSupervision(WithHeads):
    """The same loss at half and a quarter of the resolution."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.add_heads([nn.Conv3d(self.config.channels[1 + n], self.schema.class_count, 1) for n in range(LEVELS)])

    def loss_of_heads(self, features: Sequence[Tensor], label: Tensor) -> Tensor:
        balance, total = self.recipe.class_balance(self.step), label.new_zeros((), dtype=torch.float32)
        for level, head in enumerate(self.heads, start=1):
            step = 2**level
            total = total + DEEPER**level * self.loss(head(features[level]), label[:, ::step, ::step, ::step], balance)
        return total


class Misses(FineTuning):
    """A missed voxel weighs more than one too many (Salehi et al. 2017)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss._dice = TverskyLoss(  # type: ignore[assignment]
            include_background=False,
            to_onehot_y=True,
            softmax=True,
            batch=True,
            alpha=1 - MISSED,
            beta=MISSED,
            smooth_nr=SMOOTH,
            smooth_dr=SMOOTH,
        )


def scaled_by_spread(folder: Path, store: Path) -> None:
    """A store with images of median 75 and 25 per median absolute deviation (times 1.4826), of all tissue voxels."""
    store.mkdir(parents=True, exist_ok=True)
    for entry in open_store(folder):
        if (store / f"{entry.id}.json").exists():
            continue
        array = np.load(entry.array_file)
        for channel in array[:4]:
            if (inside := channel > 0).any():
                middle = np.median(channel[inside])
                spread = 1.4826 * np.median(np.abs(channel[inside] - middle)) or 1.0
                channel[inside] = np.clip(np.round(75 + 25 * (channel[inside] - middle) / spread), 1, 255)
        np.save(store / f"{entry.id}.npy", array)
        record = json.loads((folder / f"{entry.id}.json").read_text(encoding="utf-8"))
        record["array_sha256"] = sha256_of(store / f"{entry.id}.npy")
        write_text_atomic(store / f"{entry.id}.json", json.dumps(record))


CHANGES: dict[str, type[FineTuning]] = {
    "region-heads": RegionHeads,
    "deep-supervision": DeepSupervision,
    "misses": Misses,
    "spread": FineTuning,
}


def halves(bank: Path, folder: Path) -> tuple[Path, Path]:
    """The bank of half of its patients each: one to learn from, one to judge by."""
    files = folder / "bank-to-learn-from.npz", folder / "bank-to-judge-by.npz"
    with np.load(bank) as whole:
        stored = {key: whole[key] for key in whole.files}
    patients = sorted(set(stored["patient"].tolist()))
    first = set(np.random.default_rng(14).permutation(patients)[: len(patients) // 2].tolist())
    is_first = np.array([patient in first for patient in stored["patient"]])
    for file, rows in zip(files, (is_first, ~is_first), strict=True):
        if not file.exists():
            per_tumor = {
                key: value[rows] if len(np.atleast_1d(value)) == len(rows) else value for key, value in stored.items()
            }
            np.savez_compressed(file, **per_tumor)
    return files


class Trials:
    def __init__(self, file: Path, folder: Path, start: str, bank: Path) -> None:
        self.stated: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        self.folder, self.start = folder, start
        folder.mkdir(parents=True, exist_ok=True)
        self.to_learn_from, self.to_judge_by = halves(bank, folder)

    @property
    def names(self) -> list[str]:
        return list(self.stated["recipes"])

    def trained(self) -> list[str]:
        seeds = range(self.stated["seeds"])
        return [name for name in self.names if all((self.run_folder(name, s) / "model").is_dir() for s in seeds)]

    def run_folder(self, name: str, seed: int) -> Path:
        return self.folder / f"{name}-{seed}"

    def train(self, name: str, seed: int) -> None:
        changes = dict(self.stated["recipes"][name])
        change = changes.pop("change", "")
        given: dict[str, Any] = {**self.stated["finetune"], **changes, "seed": seed, "start": self.start}
        given["folders"] = tuple(self.folders(name))
        if given.pop("bank", False):
            given["tumor_bank"] = str(self.to_learn_from)
        given |= {"splits": self.stated["splits"], "run": str(self.run_folder(name, seed))}
        config = make_config(FinetuneConfig, given)
        config = replace(config, validate_every=config.steps)
        kind = CHANGES.get(change, FineTuning)

        def make(config: FinetuneConfig, run: RunLog, processes: Processes) -> FineTuning:
            entries = labeled_entries(config, run)
            return kind(config, run, entries, fixed_splits(config, run, entries), processes)

        run_training(config, make, FineTuning.verb)

    def folders(self, name: str) -> list[str]:
        """The stores of a recipe."""
        if self.stated["recipes"][name].get("change") != "spread":
            return list(self.stated["folders"])
        made = []
        for folder in map(Path, self.stated["folders"]):
            store = self.folder / "spread" / folder.name
            scaled_by_spread(folder, store)
            made.append(str(store))
        return made

    def model(self, name: str, seed: int) -> ModelPackage:
        return read_package(self.run_folder(name, seed) / "model")

    def report(self) -> str:
        """Dice of the validation cases; and of the bank's other patients, compared with the first recipe."""
        first = self.model(self.trained()[0], 0).info
        schema = schema_named(first.schema)
        bank = read_tumor_bank(self.to_judge_by, schema)
        regions = [region.key for region in schema.regions]
        rows, judged = [["recipe", *regions]], {}
        for name in self.trained():
            level = levels([entry for folder in self.folders(name) for entry in open_store(Path(folder))[:6]])
            made = list(
                cubes(bank, range(len(bank.patients)), level, first.preprocess.spacing_mm, first.network.divisor)
            )
            models = [self.model(name, seed) for seed in range(self.stated["seeds"])]
            validation = np.mean(
                [[model.info.scores["validation"]["regions"][key] for key in regions] for model in models], axis=0
            )
            rows.append([name, *(f"{value:.3f}" for value in validation)])
            dice = [scores(open_engine(model, "onnx", "cpu", 1), made, (), schema) for model in models]
            judged[name] = by_patient(np.mean(dice, axis=0), bank.patients)
        return (
            f"{len(bank.patients)} cubes of {len(set(bank.patients))} patients\n"
            f"{table(judged, regions)}\n\nvalidation cases\n{text_table(rows)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("names", nargs="*", help="recipes to train now (default: all, and the comparison)")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--start", required=True, help="pre-trained model without labels")
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--compare", action="store_true", help="train nothing")
    options = parser.parse_args()
    trials = Trials(options.experiment, options.run.absolute(), options.start, options.bank)
    for name in () if options.compare else options.names or trials.names:
        for seed in range(trials.stated["seeds"]):
            trials.train(name, seed)
    if options.compare or not options.names:
        text = trials.report()
        write_text_atomic(trials.folder / "results.txt", text + "\n")
        print(text)


if __name__ == "__main__":
    main()
