"""Started by torchrun on two processes: a step of pre-training, its gradients, losses and center for a test to compare.

    torchrun --nproc-per-node=2 together.py OPTIONS.json OUT.pt eval|train

OUT.pt: what the two processes have together; what one process has on the joint batch; and the mean of what two lone
processes have on a half each.
"""

import json
import sys
from pathlib import Path

import torch
from torch import distributed as dist

from voxmmsd.compute import processes
from voxmmsd.compute.processes import process_group, torchrun_processes
from voxmmsd.config import config_from_record
from voxmmsd.pretext import method, vox_mmsd
from voxmmsd.runs import NullRun
from voxmmsd.training.cases import unlabeled_entries
from voxmmsd.training.pretrain import PreTraining
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.pairs import VoxelPairs
from voxmmsd.views.siamese import SiameseBlocks, SiameseViews


def gathered(value):
    """The two processes' tensors, first process first."""
    both = [torch.empty_like(value) for _ in range(2)]
    dist.all_gather(both, value.contiguous())
    return both


def by_view(first, second, of_rows):
    """Rows are view 1 of all cases, then view 2: joined view by view."""
    if not of_rows:
        return torch.cat([first, second])
    return torch.cat([first.unflatten(0, (2, -1)), second.unflatten(0, (2, -1))], dim=1).flatten(0, 1)


def outcome(training, values):
    gradients = [p.grad.clone() for p in training.trained.parameters() if p.requires_grad]
    training.method.after_update(0)
    kept = {name: float(value.detach()) for name, value in values.items() if name in ("loss", "restoration")}
    return {"gradients": gradients, "center": training.method.center.clone(), "losses": kept}


def fresh(config, entries, us, mode):
    training = PreTraining(config, NullRun(Path(config.run)), entries, (), us)
    for module in training.method.modules():
        module.training = mode == "train"
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # each process drops its own
    training.method.train = lambda mode=True: training.method
    return training


def main():
    config = config_from_record(PretrainConfig, json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    us, mode = torchrun_processes(), sys.argv[3]
    with process_group(us, torch.device("cpu")):
        entries, _ = unlabeled_entries(config, NullRun(Path(config.run)))
        drawn = {}
        real_views, real_pairs = method.make_views, vox_mmsd.draw_pairs
        method.make_views = lambda *given: drawn.setdefault("views", real_views(*given))
        vox_mmsd.draw_pairs = lambda *given: drawn.setdefault("pairs", real_pairs(*given))

        together = fresh(config, entries, us, mode)
        values = together.parallel_losses(together.trained, together.losses, 0)
        values["loss"].backward()
        found = {"together": outcome(together, values)}
        found["together"]["losses"] = {
            name: sum(gathered(torch.tensor(value))).item() / 2
            for name, value in found["together"]["losses"].items()
        }  # fmt: skip

        blocks, views, pairs = together._blocks, drawn["views"], drawn["pairs"]
        joint_blocks = SiameseBlocks(
            by_view(*gathered(blocks.image), True),
            by_view(*gathered(blocks.informative.int()), True).bool(),
            torch.cat(gathered(blocks.corners), dim=1),
            by_view(*gathered(blocks.present.int()), False).bool(),
        )
        joint_views = SiameseViews(
            by_view(*gathered(views.image), True), by_view(*gathered(views.visible.int()), True).bool()
        )
        joint_pairs = VoxelPairs(
            by_view(*gathered(pairs.places), True),
            by_view(*gathered(pairs.modalities), True),
            by_view(*gathered(pairs.weight), False),
        )

        processes.dist.is_initialized = lambda: False  # from here on each process computes for itself
        half = fresh(config, entries, type(us)(), mode)
        values = half.method.score(blocks, views, pairs, 0)
        values["loss"].backward()
        halves = outcome(half, values)
        found["halves"] = {
            "gradients": [sum(gathered(gradient)) / 2 for gradient in halves["gradients"]],
            "center": sum(gathered(halves["center"])) / 2,
            "losses": {name: sum(gathered(torch.tensor(v))).item() / 2 for name, v in halves["losses"].items()},
        }
        joint = fresh(config, entries, type(us)(), mode)
        values = joint.method.score(joint_blocks, joint_views, joint_pairs, 0)
        values["loss"].backward()
        found["joint"] = outcome(joint, values)
        found["filled up"] = float((joint_pairs.weight == 0).float().mean())
        if us.is_first:
            torch.save(found, sys.argv[2])
        together.parallel_losses.close()  # as the loop does at its end


if __name__ == "__main__":
    main()
