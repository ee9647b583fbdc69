"""``voxmmsd doctor``: versions, devices and a test of this machine."""

from __future__ import annotations

from dataclasses import dataclass

from voxmmsd.config import DEVICES, Affects, option
from voxmmsd.verbs.verb import Verb


@dataclass(frozen=True)
class DoctorConfig:
    device: str = option("auto", "device to check", choices=DEVICES, affects=Affects.DEVICE)


def run(config: DoctorConfig) -> int:
    from voxmmsd.doctor import examine

    text, healthy = examine(config.device)
    print(text)
    return 0 if healthy else 1


VERB = Verb("doctor", "show versions and devices, and test whether this machine computes correctly", DoctorConfig, run)
