import numpy as np
import psutil
import pytest

from voxmmsd.errors import ConfigError, MemoryBudgetError
from voxmmsd.inference import memory
from voxmmsd.inference.engines import HostEngine
from voxmmsd.inference.memory import free_bytes, parse_bytes, windows_down
from voxmmsd.inference.tiling import predict_tiled


class Pointwise(HostEngine):
    """Logits that are the first three modalities; no room for windows of more than ``most`` voxels."""

    name, divisor, bytes_per_voxel = "pointwise", 4, 100.0

    def __init__(self, most=10**9, room=10**12):
        self.most, self.room, self.sizes = most, room, []

    def make_room(self, limit):
        return self.room

    def logits(self, image):
        self.sizes.append(image.shape[2:])
        if image[0, 0].size > self.most:
            raise MemoryError
        return image[:, :3] * 50


IMAGE = np.random.default_rng(0).integers(1, 255, (4, 64, 80, 72)).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 * 2**30), ("800M", 800 * 2**20), ("1.5", 3 * 2**29), ("2 GiB", 2**31)]
)
def test_amounts_are_read_as_people_write_them(text, size):
    assert parse_bytes(text) == size


def test_no_amount_is_no_limit_and_nonsense_is_refused():
    assert parse_bytes("") is None
    for text in ("4X", "0", "much", "-1G"):
        with pytest.raises(ConfigError, match="not an amount of memory"):
            parse_bytes(text)


def test_a_limit_counts_what_is_taken_already():
    taken = psutil.Process().memory_info().rss
    assert free_bytes(taken + 2**20) <= 2**21
    assert free_bytes(taken // 2) < 0
    assert 0 < free_bytes(None) < psutil.virtual_memory().total


def test_windows_get_smaller_along_their_longest_side_and_stay_multiples_of_the_divisor():
    sizes = windows_down((150, 180, 140), 16)
    assert sizes[:3] == [(160, 192, 144), (160, 96, 144), (80, 96, 144)]
    assert sizes[-1] == (32, 32, 32)
    assert all(side % 16 == 0 for size in sizes for side in size)
    volumes = [np.prod(size) for size in sizes]
    assert volumes == sorted(set(volumes), reverse=True)


def test_the_whole_is_computed_at_once_where_memory_allows_it():
    engine = Pointwise()
    assert predict_tiled(IMAGE, engine, 3).note == ""
    assert engine.sizes == [(64, 80, 72)]


def test_a_budget_makes_windows_smaller_and_says_so():
    engine = Pointwise(room=4 * IMAGE[0].size * 7 + 64 * 40 * 72 * 140)
    fitted = predict_tiled(IMAGE, engine, 3)
    assert set(engine.sizes) == {(64, 40, 72)}
    assert fitted.note == "computed in windows of 72 x 40 x 64: memory allows no larger"
    np.testing.assert_array_equal(fitted.label_zyx, predict_tiled(IMAGE, Pointwise(), 3).label_zyx)


def test_what_is_summed_over_all_windows_counts_as_memory_too():
    engine = Pointwise(room=4 * IMAGE[0].size * 7 + 64 * 40 * 72 * 140 - 1)
    predict_tiled(IMAGE, engine, 3)
    assert set(engine.sizes) == {(64, 40, 36)}


def test_windows_for_which_there_is_no_room_after_all_are_followed_by_smaller_ones():
    engine = Pointwise(most=40_000)
    fitted = predict_tiled(IMAGE, engine, 3)
    assert max(np.prod(size) for size in engine.sizes[4:]) <= 40_000
    assert "windows of" in fitted.note
    np.testing.assert_allclose(
        fitted.probabilities_czyx, predict_tiled(IMAGE, Pointwise(), 3).probabilities_czyx, atol=1e-5
    )


def test_a_window_that_was_asked_for_is_the_largest_to_be_tried():
    engine = Pointwise()
    assert predict_tiled(IMAGE, engine, 3, window=32).note == ""
    assert set(engine.sizes) == {(32, 32, 32)}


@pytest.mark.parametrize("engine", [Pointwise(most=10), Pointwise(room=1000)])
def test_where_even_the_smallest_windows_find_no_room_the_way_out_is_named(engine):
    with pytest.raises(MemoryBudgetError, match="allow more with --memory"):
        predict_tiled(IMAGE, engine, 3)


VERSIONS = {
    "version 2": ("0::/{path}\n", "", ("memory.max", "memory.current", "inactive_file")),
    "version 1": (
        "5:devices:/\n4:cpuset,memory:/{path}\n0::/\n",
        "memory",
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ),
}


def limited(group, names, limit):
    """A control group of ``limit`` MiB of which 190 MiB are taken, and 800 MiB by files that are kept in memory."""
    group.mkdir(parents=True, exist_ok=True)
    (group / names[0]).write_text(f"{limit * 2**20}\n" if limit else "max\n")
    (group / names[1]).write_text(f"{990 * 2**20}\n")
    (group / "memory.stat").write_text(f"anon {190 * 2**20}\nactive_file 4096\n{names[2]} {800 * 2**20}\n")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("limited_path", ["", "slurm/job_7", "slurm/job_7/step_0"])
def test_the_limit_of_a_container_or_job_is_seen_wherever_it_is_set(version, limited_path, tmp_path, monkeypatch):
    own, folder, names = VERSIONS[version]
    (tmp_path / "own").write_text(own.format(path="slurm/job_7/step_0"))
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", tmp_path / "groups")
    top = tmp_path / "groups" / folder
    limited(top / limited_path, names, 1000)
    assert memory._free_in_control_groups() == 810 * 2**20
    limited(top / limited_path, names, 0) if version == "version 2" else (top / limited_path / names[0]).unlink()
    assert memory._free_in_control_groups() == float("inf")
