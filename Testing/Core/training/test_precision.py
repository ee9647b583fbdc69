"""What a training computes in: bfloat16 on CPUs that have it, float32 where they do not or where it is asked for."""

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


@pytest.mark.parametrize(
    ("instructions", "name"),
    [(("avx512_f",), "float32"), (("avx512_f", "avx512_bf16"), "bfloat16"), (("amx_bf16",), "bfloat16")],
)
def test_a_cpu_trains_in_bfloat16_only_if_it_need_not_emulate_it(instructions, name, capable):
    capable(*instructions)
    precision = Precision(CPU)
    with precision.autocast():
        computed = torch.nn.Conv3d(2, 2, 1)(torch.rand(1, 2, 4, 4, 4))
    assert precision.name == name
    assert computed.dtype == getattr(torch, name)
    assert not precision.scaler.is_enabled()


def test_a_torch_that_does_not_say_what_the_cpu_can_trains_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert Precision(CPU).name == "float32"


def test_float32_is_kept_to_where_it_is_asked_for(capable):
    capable("avx512_bf16")
    assert Precision(CPU, "float32").name == "float32"
    assert Precision(CPU, "half").name == "bfloat16"


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
    for precision, name in (("auto", "bfloat16"), ("float32", "float32")):
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
