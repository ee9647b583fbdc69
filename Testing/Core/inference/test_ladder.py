import subprocess
import sys
from pathlib import Path

import pytest
from patients import write_patient
from toy_models import toy_info, toy_package

from voxmmsd.config import NetworkConfig, SegmentConfig
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference import ladder
from voxmmsd.inference.engines import OnnxEngine, Way
from voxmmsd.models.weights import pack_network
from voxmmsd.networks.heads import SegmentationNetwork


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


def rooms(monkeypatch, package, *rooms):
    """A ladder whose engines have so much room, one after the other."""

    def engine(package, way, threads):
        made = OnnxEngine(package)
        made.name, made.make_room = way.engine, lambda limit: rooms[int(way.engine)]
        return made

    monkeypatch.setattr(ladder, "choose_way", lambda *a: Way("0"))
    monkeypatch.setattr(ladder, "open_way", engine)
    monkeypatch.setattr(ladder, "ways_down", lambda *a: (Way(str(n)) for n in range(1, len(rooms))))


def test_each_step_down_is_announced_and_kept_for_the_next_case(package, tmp_path, monkeypatch):
    write_patient(tmp_path)
    volumes = read_case(find_cases(tmp_path).cases[0], with_label=False)
    rooms(monkeypatch, package, 0, 1000, 10**9)
    said = []
    steps = ladder.Ladder(package, SegmentConfig(), said.append)
    assert steps.predict(volumes).engine == "2"
    assert steps.predict(volumes).engine == "2"
    assert [line[-19:] for line in said] == ["from here on with 1", "from here on with 2"]
    assert "0 MiB are left for 0" in said[0]


def test_below_the_last_step_the_reason_is_an_error(package, tmp_path, monkeypatch):
    write_patient(tmp_path)
    volumes = read_case(find_cases(tmp_path).cases[0], with_label=False)
    rooms(monkeypatch, package, 0, 0)
    with pytest.raises(MemoryBudgetError, match="allow more with --memory"):
        ladder.Ladder(package, SegmentConfig(), lambda text: None).predict(volumes)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_memory_budget_is_kept_by_the_process_as_a_whole(tmp_path, engine):
    config = NetworkConfig()
    package = pack_network(tmp_path / "model", SegmentationNetwork(config, 4).eval(), toy_info(network=config))
    write_patient(tmp_path / "in", shape_xyz=(112, 112, 112))
    peaks = {}
    for memory in ("", "350M"):
        out = tmp_path / f"out{memory}"
        code = (
            "import sys; from voxmmsd.cli import main\n"
            f"code = main(['segment', {str(tmp_path / 'in')!r}, '--out', {str(out)!r}, '--engine', {engine!r}, "
            f"'--model', {str(package.folder)!r}, '--memory', {memory!r}])\n"
            "print(next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1]); sys.exit(code)"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
        assert result.returncode == 0, result.stderr
        assert ("memory allows no larger" in result.stderr) == bool(memory)
        peaks[memory] = int(result.stdout.split()[-1]) / 1024
    assert peaks["350M"] <= 350 < peaks[""]
