"""The engine of a job with fallbacks if memory does not suffice; each fallback is reported and stays in effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voxmmsd.data.reading import CaseVolumes
from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.inference.engines import Engine, bounded_threads, choose_backend, fallback_backends, open_backend
from voxmmsd.inference.memory import parse_bytes, refuse_too_small, taken_bytes
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.labels import schema_named
from voxmmsd.models.package import ModelPackage


class FallbackPredictor:
    """Segments case after case; if even small windows do not fit, with lower precision, and finally on the CPU.

    The engine is chosen at once, and opened by ``open``.

    Raises:
        ConfigError, MissingDependencyError, ModelError: as ``choose_backend`` and ``open_backend`` do.
    """

    def __init__(self, package: ModelPackage, config: SegmentConfig, say: Callable[[str], None]) -> None:
        self._package, self._config, self._say = package, config, say
        self._memory = parse_bytes(config.memory)
        self._threads = bounded_threads(config.threads, say)
        self._backend = choose_backend(package, config.engine, config.device, self._threads, config.precision, say)
        self._fallbacks = fallback_backends(package, self._backend, self._threads)
        self._opened: Engine | None = None
        self._before = 0

    def open(self) -> None:
        """Open the engine, or the next one where there is no room for the model, as on a GPU that others fill.

        Raises:
            ConfigError, MissingDependencyError, ModelError, MemoryBudgetError: as ``open_backend`` does.
        """
        try:
            self._opened = open_backend(self._package, self._backend, self._threads)
        except MemoryBudgetError as error:
            self._step_down(error)
        assert self._opened is not None
        self._before = taken_bytes() + self._opened.bytes_kept

    @property
    def engine(self) -> Engine:
        """The one in use."""
        if self._opened is None:
            self.open()
        assert self._opened is not None
        return self._opened

    def refuse_too_large(self, volumes: CaseVolumes) -> None:
        """Raise MemoryBudgetError for a case that exceeds the limit, before more than its images is in memory."""
        if self._memory is None or self._backend.device != "cpu":
            return
        classes = schema_named(self._package.info.schema).class_count
        maps = 8 * classes * self._config.probabilities + 8 * self._config.uncertainty
        refuse_too_small(self._memory, self._before, volumes.image.grid.shape_zyx, maps)

    def predict(self, volumes: CaseVolumes, **options: Any) -> Prediction:
        """Like ``predict``, with the options of the configuration; raises MemoryBudgetError after the last fallback."""
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
        backend = next(self._fallbacks, None)
        if backend is None:
            raise reason
        try:
            self._opened = open_backend(self._package, backend, self._threads)
        except MemoryBudgetError as error:
            self._step_down(error)
        else:
            self._say(f"memory: {reason.problem}; from here on with {self._opened.name}")
