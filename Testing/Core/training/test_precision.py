"""What a training computes in: float32 on a CPU, or bfloat16 where it is asked for and the CPU has it."""

import pytest
import torch

from voxmmsd.compute.devices import Precision
from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.errors import ConfigError
from voxmmsd.models.package import read_package
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs.events import read_events
from voxmmsd.training.finetune import finetune
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

CPU = torch.device("cpu")
SMALL = {"preset": "tiny", "channels": (4, 6, 8), "steps": 20, "device": "cpu", "threads": 1, "workers": 1}
TRAININGS = {
    "finetune": (finetune, FinetuneConfig, {"patch": 16}),
    "pretrain": (pretrain, PretrainConfig, {"block": 16, "mask_size": 4, "mask_ratio": 0.5, "pairs": 64}),
}


@pytest.fixture
def capable(monkeypatch):
    """Makes the CPU one with the given instructions."""
    return lambda *names: monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: dict.fromkeys(names, True), raising=False
    )


@pytest.mark.parametrize("instructions", [("avx512_f", "avx512_bf16"), ("amx_bf16",)])
@pytest.mark.parametrize(("asked", "name"), [("auto", "float32"), ("float32", "float32"), ("half", "bfloat16")])
def test_a_cpu_trains_in_bfloat16_only_if_that_is_asked_for(instructions, asked, name, capable):
    capable(*instructions)
    precision = Precision(CPU, asked)
    with precision.autocast():
        computed = torch.nn.Conv3d(2, 2, 1)(torch.rand(1, 2, 4, 4, 4))
    assert precision.name == name
    assert computed.dtype == getattr(torch, name)
    assert not precision.scaler.is_enabled()


def test_a_torch_that_does_not_say_what_the_cpu_can_has_no_half(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert Precision(CPU).name == "float32"
    with pytest.raises(ConfigError, match="does not support bfloat16"):
        Precision(CPU, "half")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 3, seed=0, side=32)
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


def losses(run):
    return [event["value"] for event in read_events(run / "events.jsonl") if event.get("name") == "loss"]


@pytest.mark.parametrize("verb", TRAININGS)
def test_a_training_in_bfloat16_follows_that_in_float32_and_is_recorded(verb, store, tmp_path, capable):
    train, kind, own = TRAININGS[verb]
    capable("avx512_bf16")
    means = {}
    for precision, name in (("half", "bfloat16"), ("auto", "float32")):
        run = tmp_path / name
        config = {**SMALL, **own, "folders": (str(store),), "run": str(run), "precision": precision}
        model = read_package(train(make_config(kind, config)))
        assert model.info.training["hardware"].endswith(f", {name}")
        means[name] = losses(run)
    assert means["bfloat16"] and means["bfloat16"] != means["float32"]
    assert means["bfloat16"] == pytest.approx(means["float32"], rel=0.02)


def test_half_precision_is_refused_where_the_cpu_would_emulate_it(store, tmp_path, capable):
    capable("avx2")
    given = {**SMALL, "patch": 16, "folders": (str(store),), "run": str(tmp_path / "run"), "precision": "half"}
    with pytest.raises(ConfigError, match=r"half: this CPU does not support bfloat16.*choose float32"):
        finetune(make_config(FinetuneConfig, given))
