from importlib import metadata

import pytest
import torch

from voxmmsd import doctor
from voxmmsd.compute import devices
from voxmmsd.errors import ConfigError


def test_a_sound_machine_is_found_sound():
    text, healthy = doctor.examine("cpu")
    assert healthy
    assert "3-D convolution error" in text and ": correct" in text
    assert torch.__version__ in text


@pytest.mark.parametrize(("instructions", "has_half"), [({"avx512_bf16": True}, True), ({}, False)])
def test_what_trainings_compute_in_is_said_and_whether_they_can_in_half(instructions, has_half, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    text = doctor.examine("cpu")[0]
    assert "training    in float32" in text
    assert ("half        bfloat16: 3-D convolution" in text) == has_half


def test_torch_is_named_with_its_build_which_its_wheel_may_not_tell(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0")
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    assert "torch       2.13.0+cu130" in doctor.examine("cpu")[0]


def test_a_device_that_computes_wrongly_is_seen(monkeypatch):
    right = torch.nn.functional.conv3d
    monkeypatch.setattr(
        torch.nn.functional,
        "conv3d",
        lambda image, *rest, **named: right(image, *rest, **named) * (1.001 if image.dtype == torch.float32 else 1),
    )
    text, healthy = doctor.examine("cpu")
    assert not healthy
    assert "WRONG" in text


@pytest.mark.parametrize(
    ("usual", "advice", "is_sound"),
    [("float32", "do not train with --precision half", True), ("half", "train with --precision float32", False)],
)
def test_a_device_that_computes_wrongly_in_half_precision_is_seen(usual, advice, is_sound, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(devices.Precision.__init__, "__defaults__", (usual,))
    right = torch.nn.functional.conv3d
    monkeypatch.setattr(
        torch.nn.functional,
        "conv3d",
        lambda *given, **named: right(*given, **named) * (1.05 if torch.is_autocast_enabled("cpu") else 1),
    )
    text, healthy = doctor.examine("cpu")
    assert healthy == is_sound
    assert ": correct" in text and f"WRONG: {advice}" in text


@pytest.mark.parametrize(
    ("torch_version", "cudnn", "words"),
    [
        ("2.13.0+cpu", None, []),
        ("2.9.1+cu128", 91501, []),
        ("2.9.1+cu128", 91300, ["torch 2.9.1"]),
        ("2.9.0+cu128", 91002, ["torch 2.9.0", "cuDNN 9.8 to 9.10"]),
        ("2.8.0", 90801, ["cuDNN 9.8 to 9.10"]),
        ("2.9.0", None, []),
        ("2.12.0", 91100, []),
    ],
)
def test_builds_known_to_be_slow_or_wrong_are_named(torch_version, cudnn, words):
    faults = doctor.known_faults(torch_version, cudnn)
    assert len(faults) == len(words)
    assert all(word in fault for word, fault in zip(words, faults, strict=True))


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="finds no such device"):
        doctor.examine("cuda" if not torch.cuda.is_available() else "mps")
