"""What the network knows of each voxel of a case: its decoder's feature pyramid and logits, on ONNX Runtime.

The pyramid is what Vox-MMSD trains (``docs/method.md``, sections 3 to 5). It is kept level by level in float16, some
65 MB for a brain at 1.5 mm with logits and images, and enlarged only where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from scipy import ndimage

from voxmmsd.concurrency import usable_cores
from voxmmsd.data.preprocess import Prepared, Preprocess, input_scale
from voxmmsd.data.reading import CaseVolumes
from voxmmsd.data.volume import Grid
from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference.engines.engine import loading
from voxmmsd.inference.memory import free_bytes, window_bytes, windows_down
from voxmmsd.inference.windows import TissueBox, gaussian_weights, window_starts
from voxmmsd.labels import schema_named
from voxmmsd.models.package import WEIGHTS, ModelPackage, refuse_pretrained
from voxmmsd.refine.onnx_outputs import with_pyramid

LEVELS = 3  # 16 + 32 + 64 channels of the starter; coarser ones see no more than where in the brain a voxel lies
SMOOTHED_MM = 3.0
_FEATURES_AT_PEAK = 6.25  # tensors as wide as the finest level: one more than for the logits alone, which is kept

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CaseFeatures:
    """Features in the box around the tissue of a prepared case, whose sides are multiples of the network's divisor.

    ``image_czyx``: the box as the network saw it, uint8. ``scale``: factors of its channels. ``logits_czyx``: float16.
    ``pyramid``: float16 ``(channel, z, y, x)``, level ``l`` with sides shorter by ``2 ** l``. ``model``: SHA-256 of the
    weights.
    """

    grid: Grid
    image_czyx: np.ndarray
    scale: np.ndarray
    logits_czyx: np.ndarray
    pyramid: tuple[np.ndarray, ...]
    model: str

    @cached_property
    def intensities_czyx(self) -> np.ndarray:
        """The images, and behind them the images smoothed by a Gaussian of SMOOTHED_MM; ``(8, z, y, x)`` float16."""
        sigma = SMOOTHED_MM / np.asarray(self.grid.spacing_mm_zyx)
        image = self.image_czyx * self.scale[:, None, None, None]
        smoothed = [ndimage.gaussian_filter(channel, sigma, truncate=3) for channel in image]
        return np.concatenate([image, smoothed]).astype(np.float16)

    @cached_property
    def levels(self) -> tuple[tuple[int, np.ndarray], ...]:
        """All features of a voxel: by how much each array is coarser than the grid, and the array."""
        coarser = tuple((2**level, features) for level, features in enumerate(self.pyramid))
        return (*coarser, (1, self.intensities_czyx))

    @property
    def size_bytes(self) -> int:
        return sum(array.nbytes for array in (*self.pyramid, self.logits_czyx, self.image_czyx))


def case_features(
    volumes: CaseVolumes,
    package: ModelPackage,
    *,
    threads: int = 0,
    memory: int | None = None,
    progress: Progress | None = None,
) -> CaseFeatures:
    """Features of a case as read; takes about as long as segmenting it on ONNX Runtime.

    Raises:
        InputError: nothing is left inside the brain.
        ModelError: the package cannot give features.
        MemoryBudgetError: even small windows find no room.
    """
    prepared = Preprocess(package.info.preprocess).apply(volumes)
    return compute_features(prepared, package, threads=threads, memory=memory, progress=progress)


def compute_features(
    prepared: Prepared,
    package: ModelPackage,
    *,
    window: int = 0,
    threads: int = 0,
    memory: int | None = None,
    progress: Progress | None = None,
) -> CaseFeatures:
    """As ``case_features``, of a prepared case: at once where memory allows it, else in windows as segmenting does.

    ``window``: the largest side of windows in voxels (0: the whole). ``memory``: what may be taken in all, in bytes.
    """
    network = _Network(package, threads)
    box = TissueBox.around(prepared.image_czyx, network.divisor)
    image, scale = box.cut(prepared.image_czyx), input_scale(prepared.image_czyx)
    start = tuple(min(window, side) for side in box.shape_zyx) if window else box.shape_zyx
    room, needed = free_bytes(memory) - image[0].size * 8 * network.channels, 0
    for size in windows_down(start, network.divisor):
        needed = window_bytes(size, network.bytes_per_voxel, network.channels)
        if needed > room:
            continue
        try:
            logits, *pyramid = _blended(image, scale, network, size, progress)
        except MemoryError:
            continue
        return CaseFeatures(
            grid=prepared.grid.crop(box.start_zyx, box.shape_zyx),  # type: ignore[arg-type]
            image_czyx=image,
            scale=scale,
            logits_czyx=logits,
            pyramid=tuple(pyramid),
            model=package.info.files[WEIGHTS],
        )
    raise MemoryBudgetError(
        f"{max(0, room) / 2**20:.0f} MiB are left for the features, the smallest windows take {needed / 2**20:.0f} MiB",
        "allow more with --memory, or close other programs",
    )


class _Network:
    """A package's network in ONNX Runtime with its pyramid as further outputs."""

    def __init__(self, package: ModelPackage, threads: int) -> None:
        import onnxruntime

        refuse_pretrained(package)
        content, names = with_pyramid(package.onnx, LEVELS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        with loading(package):
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.steps = (1, *(2**level for level in range(len(names))))
        self.divisor = package.info.network.divisor
        widths = package.info.network.channels
        self.channels = schema_named(package.info.schema).class_count + 2 * widths[0]  # as many values a voxel, about
        self.bytes_per_voxel = 4 * _FEATURES_AT_PEAK * widths[0]

    def compute(self, image_czyx: np.ndarray) -> list[np.ndarray]:
        """Logits and pyramid of one window, ``(channel, z, y, x)`` float32 each.

        Raises:
            MemoryError: there is no room for a window of this size.
        """
        try:
            given = {"image": np.ascontiguousarray(image_czyx[None], np.float32)}
            return [array[0] for array in self._session.run(None, given)]
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise


def _blended(
    image: np.ndarray, scale: np.ndarray, network: _Network, size: Sequence[int], progress: Progress | None
) -> list[np.ndarray]:
    """Logits and pyramid of the whole box in float16, windows blended by a Gaussian."""
    shape, factors = image.shape[1:], scale[:, None, None, None]
    places = list(product(*(_starts(n, w, max(network.steps)) for n, w in zip(shape, size, strict=True))))
    totals: list[np.ndarray] = []
    weights = [gaussian_weights(tuple(side // step for side in size)) for step in network.steps]
    counted = [np.zeros([side // step for side in shape], np.float32) for step in network.steps]
    for done, start in enumerate(places, start=1):
        inside = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
        part = image[(slice(None), *inside)]
        if part.any():
            found = network.compute(part * factors)
            if len(places) == 1:
                totals = found
            totals = totals or [_empty(one, shape, step) for one, step in zip(found, network.steps, strict=True)]
            for each in zip(totals, counted, found, weights, network.steps, strict=True):
                if len(places) > 1:
                    _add(*each, inside)
        if progress:
            progress(done, len(places))
    if len(places) > 1:
        for total, count in zip(totals, counted, strict=True):
            np.divide(total, np.maximum(count, 1e-9), out=total)
        totals[0][0][counted[0] == 0] = 1e4  # never computed: background for sure
    return [total.astype(np.float16) for total in totals]


def _starts(length: int, window: int, step: int) -> list[int]:
    """As ``window_starts``, at multiples of the coarsest level's step, of which a window may hold no part."""
    return sorted({start - start % step for start in window_starts(length, window)})


def _empty(found: np.ndarray, shape: tuple[int, ...], step: int) -> np.ndarray:
    return np.zeros((len(found), *(side // step for side in shape)), np.float32)


def _add(total: Any, count: Any, found: Any, weight: Any, step: int, inside: tuple[slice, ...]) -> None:
    """One window's output, weighted, into the sums of its level."""
    place = tuple(slice(s.start // step, s.stop // step) for s in inside)
    total[(slice(None), *place)] += found * weight
    count[place] += weight
