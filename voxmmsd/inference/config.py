"""The options of ``segment``, and those that name the images of a case. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from voxmmsd.config import BRAIN_MASK, DEVICES, PRECISIONS, Affects, option

ENGINES = ("auto", "onnx", "openvino", "torch")


@dataclass(frozen=True)
class ImagesConfig:
    """Which images are meant: a folder, or the images of one case."""

    case: str = option("", "folder of one case, or folder of cases", affects=Affects.INPUT, positional=True)
    t1n: str = option("", "T1 image, instead of a folder", affects=Affects.INPUT)
    t1c: str = option("", "contrast-enhanced T1 image", affects=Affects.INPUT)
    t2w: str = option("", "T2 image", affects=Affects.INPUT)
    t2f: str = option("", "FLAIR image", affects=Affects.INPUT)
    id: str = option("", "case id, if images are given one by one")
    brain_mask: str = option("", BRAIN_MASK, affects=Affects.INPUT)


@dataclass(frozen=True)
class ReadingConfig(ImagesConfig):
    """Which images are meant, and on which grid they are read."""

    reference: str = option("", "modality that defines the grid of the result (default: t1c, else the finest)")
    from_scanner: bool = option(
        False, "images as they come from a scanner: register them to the reference and strip the skull first"
    )
    align: bool = option(False, "first register each modality to the reference, with a picture (needs SimpleITK)")
    n4: bool = option(False, "remove bias fields inside the brain first (N4, needs SimpleITK)")


@dataclass(frozen=True)
class SegmentConfig(ReadingConfig):
    """The options of ``segment``."""

    out: str = option("", "output folder", affects=Affects.PLACE)
    model: str = option("", "model name, package folder or zip (default: the most recently accepted model)")
    engine: str = option("auto", "inference engine (auto: the fastest on this machine, measured once)", choices=ENGINES)
    device: str = option("auto", "device to compute on", choices=DEVICES, affects=Affects.DEVICE)
    precision: str = option("auto", "auto: half on CUDA, float32 elsewhere", choices=PRECISIONS)
    memory: str = option("", "memory limit for the whole process, such as 4G (default: most of the free memory)")
    window: int = option(0, "maximum window size in voxels (0: the whole brain if memory allows)", range=(0, math.inf))
    threads: int = option(0, "CPU threads (0: all cores)", range=(0, math.inf), affects=Affects.SPEED)
    postoperative: bool = option(False, "postoperative case: warn if the model does not know the resection cavity")
    min_component: tuple[str, ...] = option(
        (), "minimum component size per label in ml, such as ET=0.05 ED=0.5; smaller ones are removed"
    )
    force: bool = option(False, "segment despite blocking findings (see the verb check), and write implausible results")
    probabilities: bool = option(False, "also write one probability map per label")
    uncertainty: bool = option(False, "also write an uncertainty map")
    tta: bool = option(
        False,
        "test-time augmentation: mean over eight mirrored images (the network runs eight times; no gain was measured)",
    )
    picture: bool = option(False, "also write an overlay picture")
    report: bool = option(False, "also write a report of each case, as a page and a PDF", affects=Affects.REPORT)
    save_intermediates: bool = option(
        False, "also write aligned, resampled or corrected images and the brain mask, if they were created"
    )
    dicom_seg: bool = option(
        False, "also write DICOM SEG and SR of the reference's series (needs DICOM images and highdicom)"
    )
    json: bool = option(False, "print a JSON record of all cases instead of text", affects=Affects.REPORT)
