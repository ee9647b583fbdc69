"""``voxmmsd pretrain``: pre-train a network. Its options are in ``voxmmsd.training_config``."""

from __future__ import annotations

from voxmmsd.training_config import PretrainConfig
from voxmmsd.verbs.training_task import check_training
from voxmmsd.verbs.verb import Verb, placed_by


def run(config: PretrainConfig) -> None:
    check_training(config, "folder of cases")
    from voxmmsd.training.pretrain import pretrain

    print(pretrain(config))


VERB = placed_by(Verb("pretrain", "pre-train a network on unlabeled scans", PretrainConfig, run), "run")
