import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from patients import write_patient
from toy_models import toy_info, toy_package

from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference import fallback
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.inference.engines import Backend, OnnxEngine
from voxmmsd.inference.engines.on_torch import open_torch
from voxmmsd.model_config import NetworkConfig, PreprocessConfig
from voxmmsd.models.weights import pack_network
from voxmmsd.networks.heads import SegmentationNetwork


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


def rooms(monkeypatch, package, *rooms):
    """A predictor whose engines have so much room, one after the other."""

    def engine(package, backend, threads):
        made = OnnxEngine(package)
        made.name, made.make_room = backend.engine, lambda limit: rooms[int(backend.engine)]
        return made

    monkeypatch.setattr(fallback, "choose_backend", lambda *a: Backend("0"))
    monkeypatch.setattr(fallback, "open_backend", engine)
    monkeypatch.setattr(fallback, "fallback_backends", lambda *a: (Backend(str(n)) for n in range(1, len(rooms))))


def test_each_step_down_is_announced_and_kept_for_the_next_case(package, tmp_path, monkeypatch):
    write_patient(tmp_path)
    volumes = read_case(find_cases(tmp_path).cases[0], with_label=False)
    rooms(monkeypatch, package, 0, 1000, 10**9)
    said = []
    steps = fallback.FallbackPredictor(package, SegmentConfig(), said.append)
    assert steps.predict(volumes).engine == "2"
    assert steps.predict(volumes).engine == "2"
    assert [line[-19:] for line in said] == ["from here on with 1", "from here on with 2"]
    assert "0 MiB are left for 0" in said[0]


def test_a_gpu_without_room_for_the_model_is_left_for_the_cpu(package, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    with monkeypatch.context() as gpu, pytest.raises(MemoryBudgetError, match="no room for the model on cpu"):
        gpu.setattr(torch.nn.Module, "to", full)
        open_torch(package, "cpu")

    def opened(package, backend, threads):
        if backend.engine != "2":
            raise MemoryBudgetError("no room for the model on cuda", "choose --device cpu")
        return OnnxEngine(package)

    monkeypatch.setattr(fallback, "choose_backend", lambda *a: Backend("0"))
    monkeypatch.setattr(fallback, "fallback_backends", lambda *a: iter([Backend("1"), Backend("2")]))
    monkeypatch.setattr(fallback, "open_backend", opened)
    said = []
    assert fallback.FallbackPredictor(package, SegmentConfig(), said.append).engine.name
    assert len(said) == 1 and said[0].startswith("memory: no room for the model on cuda; from here on with")
    monkeypatch.setattr(fallback, "fallback_backends", lambda *a: iter([Backend("1")]))
    with pytest.raises(MemoryBudgetError, match="no room"):
        fallback.FallbackPredictor(package, SegmentConfig(), said.append).open()


def test_below_the_last_step_the_reason_is_an_error(package, tmp_path, monkeypatch):
    write_patient(tmp_path)
    volumes = read_case(find_cases(tmp_path).cases[0], with_label=False)
    rooms(monkeypatch, package, 0, 0)
    with pytest.raises(MemoryBudgetError, match="allow more with --memory"):
        fallback.FallbackPredictor(package, SegmentConfig(), lambda text: None).predict(volumes)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_memory_budget_is_kept_by_the_process_as_a_whole(tmp_path, engine):
    config = NetworkConfig()
    package = pack_network(tmp_path / "model", SegmentationNetwork(config, 4).eval(), toy_info(network=config))
    write_patient(tmp_path / "in", shape_xyz=(112, 112, 112))
    peaks = {}
    for memory in ("", "350M"):
        result, peaks[memory] = segmented(tmp_path, package, engine, memory)
        assert result.returncode == 0, result.stderr
        assert ("memory allows no larger" in result.stderr) == bool(memory)
    assert peaks["350M"] <= 350 < peaks[""]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_budget_that_cannot_be_kept_is_refused_and_the_one_that_is_named_is_kept(tmp_path, engine):
    package = toy_package(tmp_path / "model", preprocess=PreprocessConfig(spacing_mm=2.0))
    write_patient(tmp_path / "in", shape_xyz=(176, 176, 144))
    result, peak = segmented(tmp_path, package, engine, "100M")
    assert result.returncode == 2
    named = re.search(r"176 x 176 x 144 voxels .*allow at least --memory (\d+)M", result.stderr)
    assert named, result.stderr
    assert peak < int(named[1]), "refused before more was made of the case"
    result, peak = segmented(tmp_path, package, engine, f"{named[1]}M")
    assert result.returncode == 0, result.stderr
    assert peak <= int(named[1])


def segmented(folder, package, engine, memory):
    """``voxmmsd segment`` in a process of its own, and the most memory that it took, in MiB."""
    command = ["segment", str(folder / "in"), "--out", str(folder / f"out{memory}"), "--engine", engine, "--force"]
    command += ["--model", str(package.folder), "--memory", memory]
    code = (
        f"import sys; from voxmmsd.cli import main; code = main({command})\n"
        "print(next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1]); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    return result, int(result.stdout.split()[-1]) / 1024
