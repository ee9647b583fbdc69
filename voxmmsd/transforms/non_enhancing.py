"""Enhancing tumor repainted as non-enhancing core: low-grade tumors are rare among labeled cases.

On contrast-enhanced T1 the enhancing voxels are brought to the level of the tissue around them, keeping their texture;
their label becomes that of the core. The other modalities stay, as these show enhancing tumor and core much alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Size, Tensor

from voxmmsd.errors import ConfigError
from voxmmsd.labels import MODALITIES, LabelSchema
from voxmmsd.views.drawing import happens, uniform

CONTRAST = MODALITIES.index("t1c")
CORES = ("NCR", "NETC", "NET")  # keys of what a non-enhancing core is called
MIN_VOXELS = 1.0


@dataclass(frozen=True)
class NonEnhancing:
    """``p``: probability per image. ``level``: of the repainted voxels, in units of the rest of the tumor's mean."""

    p: float = 0.2
    level: tuple[float, float] = (0.85, 1.15)
    enhancing: int = 0
    core: int = 0

    def bind(self, schema: LabelSchema) -> NonEnhancing:
        keys = [label.key for label in schema.labels]
        core = next((key for key in CORES if key in keys), None)
        if "ET" not in keys or core is None:
            raise ConfigError(
                "transforms: non-enhancing needs enhancing tumor and a core among the labels, schema "
                f"{schema.name} has {', '.join(keys)}",
                "leave it out",
            )
        return replace(self, enhancing=keys.index("ET") + 1, core=keys.index(core) + 1)

    def draw(self, shape: Size, generator: Generator) -> tuple[Tensor, Tensor]:
        """Which images of the batch, bool ``(batch,)``, and their levels ``(batch,)``."""
        return happens(self.p, shape[:1], generator), uniform(self.level, shape[:1], generator)

    def apply(self, image: Tensor, label: Tensor, drawn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        repainted, level = drawn
        contrast = image[:, CONTRAST]
        bright = label == self.enhancing
        rest = (label > 0) & ~bright
        factor = level * _mean(contrast, rest) / _mean(contrast, bright).clamp(min=1e-6)
        has_both = (bright.flatten(1).sum(1) >= MIN_VOXELS) & (rest.flatten(1).sum(1) >= MIN_VOXELS)
        chosen = bright & (repainted & has_both)[:, None, None, None]
        painted = torch.where(chosen, contrast * factor[:, None, None, None], contrast)
        image = torch.cat([image[:, :CONTRAST], painted[:, None], image[:, CONTRAST + 1 :]], dim=1)
        return image, torch.where(chosen, torch.full_like(label, self.core), label)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """``(batch,)``: mean of ``values`` ``(batch, z, y, x)`` over a mask; 0 where it is empty."""
    return (values * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)
