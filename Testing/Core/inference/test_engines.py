import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from patients import write_patient
from toy_models import toy_network, toy_package

from voxmmsd.errors import Canceled, ConfigError, MissingDependencyError
from voxmmsd.home import home
from voxmmsd.inference.engines import (
    HOST,
    Backend,
    OnnxEngine,
    choice,
    choose_backend,
    fallback_backends,
    on_openvino,
    open_backend,
    open_engine,
)
from voxmmsd.inference.engines.on_torch import fold_batchnorm

HALF = pytest.mark.skipif(not on_openvino.half_precision_there(), reason="this CPU does not support bfloat16")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


def logits(engine, shape=(16, 12, 20)):
    image = np.random.default_rng(0).random((1, 4, *shape), np.float32)
    return np.asarray(engine.logits(engine.arrays.place(image)))


@pytest.mark.parametrize("backend", [Backend("openvino"), Backend("torch")])
def test_every_engine_says_what_onnx_runtime_says(package, backend):
    expected = logits(open_backend(package, Backend("onnx")))
    np.testing.assert_allclose(logits(open_backend(package, backend)), expected, atol=1e-4 * np.abs(expected).max())


@HALF
def test_half_precision_differs_a_little_and_only_where_it_is_asked_for(package):
    full, half = (logits(open_backend(package, Backend("openvino", half=half))) for half in (False, True))
    difference = np.abs(half - full).max() / np.abs(full).max()
    assert 1e-4 < difference < 0.05
    assert not choose_backend(package, "openvino").half


def test_openvino_serves_windows_of_one_shape_after_the_other(package):
    engine = open_backend(package, Backend("openvino"))
    first = logits(engine)
    assert logits(engine, (8, 8, 8)).shape == (1, 4, 8, 8, 8)
    engine.make_room(None)
    np.testing.assert_array_equal(logits(engine), first)


def test_batchnorm_folds_into_the_convolutions_and_nothing_changes():
    network, image = toy_network(), torch.rand(1, 4, 16, 16, 16)
    with torch.no_grad():
        expected = network(image)
        folded = fold_batchnorm(network)
        np.testing.assert_allclose(folded(image), expected, atol=1e-5)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm3d)]


def test_openvino_reaches_for_no_other_machine_and_never_loads_what_reports_usage(package, tmp_path):
    """A socket that is bound to this machine is none: nibabel loads pydicom, and that urllib3, which tries IPv6 so."""
    write_patient(tmp_path / "in")
    code = (
        "import sys, socket\n"
        "reaches = ('connect', 'getaddrinfo', 'gethostbyname', 'gethostbyaddr', 'getnameinfo', 'sendto', 'sendmsg')\n"
        "def forbid(event, details):\n"
        "    if event in {f'socket.{one}' for one in reaches}: raise SystemExit(f'{event} {details}')\n"
        "sys.addaudithook(forbid)\n"
        "from voxmmsd.cli import main\n"
        f"code = main(['segment', {str(tmp_path / 'in')!r}, '--out', {str(tmp_path / 'out')!r}, '--engine', 'openvino',"
        f" '--model', {str(package.folder)!r}])\n"
        "import openvino\n"
        "loaded = [name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]]\n"
        "sys.exit(code or str(loaded) * bool(loaded) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(list((tmp_path / "out").glob("*-voxmmsd.nii.gz"))) == 1


def test_a_measurement_that_cannot_be_kept_is_reported_and_stops_nothing(package, monkeypatch):
    said, speed = [], {"ONNX Runtime (CPU)": 2.0, "OpenVINO (CPU)": 1.0}
    monkeypatch.setattr(choice, "_seconds", lambda engine: speed[engine.name])
    (home() / "engines.json").mkdir(parents=True)
    assert choose_backend(package, device="cpu", say=said.append) == Backend("openvino")
    assert "engines.json: the measurement cannot be kept" in said[-1]


def test_auto_measures_once_per_machine_model_and_version_and_takes_the_fastest(package, tmp_path, monkeypatch):
    measured, said = [], []
    speed = {"ONNX Runtime (CPU)": 2.0, "OpenVINO (CPU)": 1.0}
    monkeypatch.setattr(choice, "_seconds", lambda engine: measured.append(engine.name) or speed[engine.name])
    assert choose_backend(package, device="cpu", say=said.append) == Backend("openvino")
    assert choose_backend(package, device="cpu", say=said.append) == Backend("openvino")
    assert sorted(measured) == sorted(speed)
    assert said == [
        "measured once, for this machine and model: openvino on cpu 1.00 s, onnx on cpu 2.00 s; openvino is used"
    ]
    speed["ONNX Runtime (CPU)"] = 0.5
    assert choose_backend(toy_package(tmp_path / "other", seed=1), device="cpu") == Backend("onnx")
    assert choose_backend(package, device="cpu") == Backend("openvino")
    assert len(json.loads((home() / "engines.json").read_text(encoding="utf-8"))) == 2
    with monkeypatch.context() as elsewhere:  # another machine, that shares the home folder
        elsewhere.setattr(choice.platform, "node", lambda: "another-machine")
        assert choose_backend(package, device="cpu") == Backend("onnx")
    with monkeypatch.context() as unchanged:
        unchanged.setattr(choice, "_seconds", lambda engine: pytest.fail("it is remembered"))
        assert choose_backend(package, device="cpu") == Backend("openvino")
    with monkeypatch.context() as updated:
        updated.setattr(choice.metadata, "version", lambda name: "99")
        assert choose_backend(package, device="cpu") == Backend("onnx")
    (home() / "engines.json").write_text("broken")
    assert choose_backend(package, device="cpu") == Backend("onnx")


def test_measuring_takes_time_and_an_engine_that_is_not_installed_is_no_choice(package, monkeypatch):
    assert choice._seconds(open_backend(package, Backend("onnx"))) > 0
    monkeypatch.setattr(choice, "is_installed", lambda: False)
    monkeypatch.setattr(on_openvino, "is_installed", lambda: False)
    monkeypatch.setattr(choice, "_seconds", lambda engine: pytest.fail("there is nothing to choose"))
    assert choose_backend(package, device="cpu") == Backend("onnx")
    with pytest.raises(MissingDependencyError, match=r"voxmmsd\[openvino\]"):
        open_engine(package, "openvino")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"engine": "openvino", "device": "cuda"}, "--engine openvino computes on the CPU"),
        ({"engine": "onnx", "precision": "half"}, "--engine onnx computes in float32"),
        ({"engine": "torch", "device": "cuda"}, "torch finds no such device"),
    ],
)
def test_what_cannot_be_had_together_is_refused(package, options, reason):
    if torch.cuda.is_available() and options["engine"] == "torch":
        pytest.skip("there is a GPU here")
    with pytest.raises(ConfigError, match=reason):
        open_engine(package, **options)


@pytest.mark.parametrize(("devices", "shows"), [(None, False), (0, False), (2, True)])
def test_whether_a_gpu_shows_is_asked_of_its_driver_not_of_torch(monkeypatch, devices, shows):
    class Driver:
        def __init__(self, name):
            if devices is None:
                raise OSError(f"{name}: cannot open shared object file")

        def cuInit(self, flags):
            return 0

        def cuDeviceGetCount(self, count):
            count._obj.value = devices
            return 0

    monkeypatch.setattr(choice.ctypes, "CDLL", Driver)
    monkeypatch.setattr(choice.sys, "platform", "linux")
    monkeypatch.setattr(choice.Path, "exists", lambda file: False)
    monkeypatch.setattr(choice, "_torch_is_there", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert choice._a_gpu_shows() is shows
    if not shows:
        assert choice._gpus_here() == []


@pytest.mark.parametrize(("machine", "shows"), [("arm64", True), ("x86_64", False)])
def test_a_mac_shows_a_gpu_where_its_processor_is_apples(monkeypatch, machine, shows):
    monkeypatch.setattr(choice.sys, "platform", "darwin")
    monkeypatch.setattr(choice.platform, "machine", lambda: machine)
    assert choice._a_gpu_shows() is shows


def test_below_a_gpu_come_half_precision_and_the_cpu(package, monkeypatch):
    monkeypatch.setattr(choice, "half_precision_there", lambda: True)
    monkeypatch.setattr(choice, "_seconds", lambda engine: 1.0 + ("ONNX" in engine.name))
    assert list(fallback_backends(package, Backend("torch", "cuda"))) == [
        Backend("torch", "cuda", half=True),
        Backend("openvino"),
        Backend("openvino", half=True),
    ]
    assert list(fallback_backends(package, Backend("openvino", half=True))) == []


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize("backend", [Backend("onnx"), Backend("openvino"), Backend("torch")])
def test_lack_of_memory_is_said_as_such_by_every_engine(package, backend):
    code = (
        "import numpy as np, resource, pathlib\n"
        "from voxmmsd.inference.engines import Backend, OnnxEngine, open_backend\n"
        "from voxmmsd.models.package import read_package\n"
        f"engine = open_backend(read_package(pathlib.Path({str(package.folder)!r})), {backend!r})\n"
        "small, large = (engine.arrays.place(np.zeros((1, 4, n, n, n), np.float32)) for n in (16, 192))\n"
        "engine.logits(small)\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + 300 * 2**20,) * 2)\n"
        "try: engine.logits(large)\n"
        "except MemoryError: print('no room')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert result.stdout.strip().endswith("no room"), result.stdout + result.stderr


class _Endless:
    """A session whose window ends only when it is told to."""

    def run(self, names, feed, options):
        while not options.terminate:
            time.sleep(0.01)
        raise RuntimeError("terminated")


def test_a_wish_to_stop_is_heard_in_the_middle_of_a_window(tmp_path):
    engine = OnnxEngine(toy_package(tmp_path / "toy"))
    engine._session = _Endless()

    def stop():
        raise Canceled("stop")

    engine.stop_if_asked = stop
    started = time.monotonic()
    with pytest.raises(Canceled):
        engine.logits(np.zeros((1, 4, 8, 8, 8), np.float32))
    assert time.monotonic() - started < 1


def test_a_window_that_may_be_stopped_gives_the_same(tmp_path):
    engine = OnnxEngine(toy_package(tmp_path / "toy"))
    image = np.random.default_rng(0).random(
        (1, 4, 2 * engine.divisor, 2 * engine.divisor, 2 * engine.divisor), np.float32
    )
    expected = engine.logits(image)
    engine.stop_if_asked = lambda: None
    assert np.array_equal(engine.logits(image), expected)


def test_labels_on_the_host_are_the_first_of_the_most_probable_classes():
    probabilities = np.random.default_rng(0).integers(0, 4, (4, 5, 6, 7)).astype(np.float32)  # with many ties
    found = HOST.labels(probabilities)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, probabilities.argmax(axis=0))
