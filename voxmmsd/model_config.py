"""What a model package fixes for every case: its network and how images are preprocessed for it.

Standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from voxmmsd.config import SPACING_MM, option
from voxmmsd.errors import ConfigError

MAX_LEVELS = 8  # of a network


@dataclass(frozen=True)
class NetworkConfig:
    """The 3-D U-Net: feature channels per level, finest first, and dropout per level."""

    channels: tuple[int, ...] = option((16, 32, 64, 128, 256), range=(1, 4096))
    dropout: tuple[float, ...] = option((0.0, 0.0, 0.2, 0.2, 0.2), range=(0, 1))
    in_channels: int = 4

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.dropout):
            raise ConfigError(
                f"network: {len(self.channels)} channels but {len(self.dropout)} dropout values",
                "give one of each per level",
            )
        if len(self.channels) > MAX_LEVELS:
            raise ConfigError(
                f"network: {len(self.channels)} levels", f"give {MAX_LEVELS} at most: each halves the image"
            )

    @property
    def divisor(self) -> int:
        """Every side of a window must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))

    @classmethod
    def of(cls, channels: tuple[int, ...]) -> NetworkConfig:
        """No dropout on the two finest levels, 0.2 on the deeper ones (``docs/method.md``, section 4)."""
        return cls(channels, tuple(0.0 if level < 2 else 0.2 for level in range(len(channels))))


@dataclass(frozen=True)
class PreprocessConfig:
    """Preprocessing of a case to uint8: see ``voxmmsd.data.preprocess``."""

    spacing_mm: float = option(1.0, range=SPACING_MM)
    margin_voxels: int = option(10, range=(0, math.inf))
    percentile: float = option(99.9, range=(1, 100))
