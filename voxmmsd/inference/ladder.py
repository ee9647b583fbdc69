"""The engine of a job, and what to fall back on where memory does not suffice: each step is announced and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voxmmsd.config import SegmentConfig
from voxmmsd.data.reading import CaseVolumes
from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference.engines import Engine, choose_way, open_way, ways_down
from voxmmsd.inference.memory import parse_bytes
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.models.package import ModelPackage


class Ladder:
    """Segments case after case; where even small windows do not fit, in lower precision, and at last on the CPU.

    Raises:
        ConfigError, MissingDependencyError, ModelError: as ``choose_way`` and ``open_way`` do.
    """

    def __init__(self, package: ModelPackage, config: SegmentConfig, say: Callable[[str], None]) -> None:
        self._package, self._config, self._say = package, config, say
        self._memory = parse_bytes(config.memory)
        way = choose_way(package, config.engine, config.device, config.threads, config.precision, say)
        self._below = ways_down(package, way, config.threads)
        self.engine: Engine = open_way(package, way, config.threads)

    def predict(self, volumes: CaseVolumes, **options: Any) -> Prediction:
        """As ``predict``, with the configuration's options; raises MemoryBudgetError below the last step."""
        config = self._config
        while True:
            try:
                return predict(
                    volumes,
                    self._package,
                    self.engine,
                    config.window,
                    config.probabilities,
                    tta=config.tta,
                    uncertainty=config.uncertainty,
                    memory=self._memory,
                    **options,
                )
            except MemoryBudgetError as error:
                self._step_down(error)

    def _step_down(self, reason: MemoryBudgetError) -> None:
        way = next(self._below, None)
        if way is None:
            raise reason
        self.engine = open_way(self._package, way, self._config.threads)
        self._say(f"memory: {reason}; from here on with {self.engine.name}")
